"""Calibration of the verdict: its false-positive rate, and the smallest difference it detects. No I/O.

The rate comes from A/A tests: sweeps whose "schedulers" are all the same one, with other seeds.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from pipeline.comparison.statistics import (
    LEVEL,
    Figures,
    PairedTest,
    compare,
    detectable,
    replace_diverged,
    standard_deviation,
)

SEEDS = (3, 5, 10, 20, 50)
"""Numbers of seeds for which the power table gives the detectable difference."""


@dataclass(frozen=True)
class FalsePositiveRate:
    """Share of sweeps with a significant difference among sweeps in which there is none."""

    wrong: int
    sweeps: int

    @property
    def rate(self) -> float:
        """From 0 to 1; the verdict promises at most 1 - `LEVEL`."""
        return self.wrong / self.sweeps

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95% interval of the rate.

        Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
        binomial".
        """
        found = stats.binomtest(self.wrong, self.sweeps).proportion_ci(LEVEL, method="exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class DetectableDifference:
    """The smallest difference that a number of seeds detects four times out of five."""

    seeds: int
    comparisons: int
    """Number made together."""
    deviations: float
    """The difference in standard deviations of paired differences."""
    difference: float | None
    """The difference in units of the metric; None if that standard deviation is not known."""


def simulated(sweeps: int, schedulers: int, seeds: int, random: np.random.Generator) -> FalsePositiveRate:
    """Return the false-positive rate of sweeps with normally distributed figures.

    Half of the variance belongs to the seed and is common to all schedulers, as that of initial weights may be:
    an unpaired test would detect too little.

    Args:
        sweeps: number of sweeps to simulate.
        schedulers: number in each sweep, including the baseline.
        seeds: number for each scheduler.
        random: source of the figures.
    """
    return _rate(alike(schedulers, seeds, random) for _ in range(sweeps))


def alike(schedulers: int, seeds: int, random: np.random.Generator) -> Figures:
    """Return the figures of one such sweep, shape (schedulers, seeds), with mean 0 and standard deviation 1."""
    figures: Figures = random.normal(size=seeds) + random.normal(size=(schedulers, seeds))
    return figures / math.sqrt(2)


def resampled(
    figures: Sequence[float], sweeps: int, schedulers: int, seeds: int, random: np.random.Generator
) -> FalsePositiveRate:
    """Return the false-positive rate of sweeps drawn from real runs of one scheduler.

    A run is drawn at most once for each sweep, so that the two runs of a pair share nothing. All sweeps draw from the
    same pool, and the rate and its interval hold for that pool.

    Args:
        figures: the metric of each run, at least ``schedulers * seeds``; NaN counts as the worst loss.
        sweeps: number of sweeps to draw.
        schedulers: number in each sweep, including the baseline.
        seeds: number for each scheduler.
        random: source of the draws.
    """
    return _rate(random.choice(figures, (schedulers, seeds), replace=False) for _ in range(sweeps))


def _rate(sweeps: Iterable[Figures]) -> FalsePositiveRate:
    """Count the sweeps, each of shape (schedulers, seeds), in which a scheduler differs from the first."""
    wrong = [any(test.is_significant for test in against_first(figures)) for figures in sweeps]
    return FalsePositiveRate(sum(wrong), len(wrong))


def against_first(figures: Figures) -> list[PairedTest]:
    """Compare each row of figures, shape (schedulers, seeds), with the first. Figures count as losses."""
    figures = replace_diverged(figures)
    return compare(figures[1:], figures[:1])


def paired_deviation(figures: Sequence[float]) -> float | None:
    """Return the standard deviation of differences between two schedulers, estimated from runs of one.

    It is that of the difference of two independent runs: √2 times that of one run. It errs on the safe side. In a
    sweep, two runs of a pair share their seed, with it the initial weights and the batches, and may rise and fall
    together; or the other scheduler's runs scatter less than the baseline's. Either makes smaller differences
    detectable, by an amount that depends on the scheduler. Only a scheduler whose runs scatter more than the
    baseline's needs more seeds than this says.

    Returns:
        None for one run, or if one diverged.
    """
    deviation = math.sqrt(2) * standard_deviation(figures)
    return None if math.isnan(deviation) else deviation


def power_table(seeds: Sequence[int], comparisons: int, deviation: float | None = None) -> list[DetectableDifference]:
    """Return the difference that each number of seeds detects.

    Args:
        seeds: the numbers, each at least 2.
        comparisons: number made together.
        deviation: standard deviation of paired differences, in units of the metric.
    """
    rows = []
    for count in seeds:
        smallest = detectable(count, comparisons)
        rows.append(
            DetectableDifference(count, comparisons, smallest, None if deviation is None else smallest * deviation)
        )
    return rows
