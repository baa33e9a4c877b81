"""How often the verdict is wrong where there is nothing to find, and how small a difference is found. No I/O.

Nothing to find: every "scheduler" is the same one under another name and with other seeds, an A/A test.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.questions import LEVEL, Comparison, Group, compare, detectable, spread
from pipeline.params import Run
from pipeline.records import Record, Score
from pipeline.training.epoch import Epoch

SEEDS = (3, 5, 10, 20, 50)
"""How many a sweep may have, in the table of what they find."""


@dataclass(frozen=True)
class Share:
    """Of sweeps in which there is nothing to find, those in which something is said to be better or worse."""

    wrong: int
    sweeps: int

    @property
    def share(self) -> float:
        """From 0 to 1; it should not be above 0.05."""
        return self.wrong / self.sweeps

    @property
    def interval(self) -> tuple[float, float]:
        """What so many sweeps leave open of it, 95% sure.

        Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
        binomial".
        """
        from scipy import stats

        found = stats.binomtest(self.wrong, self.sweeps).proportion_ci(LEVEL, method="exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Found:
    """The smallest difference that a number of seeds finds four times out of five."""

    seeds: int
    comparisons: int
    """That are made together."""
    deviations: float
    """The difference in standard deviations of paired differences."""
    difference: float | None
    """The same in the metric's own units; None where their standard deviation is not known."""


def simulated(sweeps: int, schedulers: int, seeds: int, random: np.random.Generator) -> Share:
    """How often a sweep of made-up figures, all from one normal distribution, gets a wrong verdict.

    Half of the variance comes with the seed and is the same for all schedulers, as that of initial weights may be:
    a test that does not pair would find too little.

    Args:
        sweeps: how many to make up.
        schedulers: in each, the baseline included.
        seeds: of each scheduler.
        random: where the figures come from.
    """
    return _wrong(alike(schedulers, seeds, random) for _ in range(sweeps))


def alike(schedulers: int, seeds: int, random: np.random.Generator) -> NDArray[np.float64]:
    """The figures of such a sweep, (schedulers, seeds); their standard deviation is 1, their mean 0."""
    figures: NDArray[np.float64] = random.normal(size=seeds) + random.normal(size=(schedulers, seeds))
    return figures / math.sqrt(2)


def resampled(figures: Sequence[float], sweeps: int, schedulers: int, seeds: int, random: np.random.Generator) -> Share:
    """How often a sweep gets a wrong verdict whose figures are those of real runs of one scheduler.

    A seed of the pool is in a sweep at most once, so that nothing is shared within a pair. The sweeps share the pool:
    the share, and its interval, are of sweeps from these runs.

    Args:
        figures: the metric of each run, at least ``schedulers * seeds``.
        sweeps: how many to draw.
        schedulers: in each, the baseline included.
        seeds: of each scheduler.
        random: what draws.
    """
    drawn = (random.choice(figures, (schedulers, seeds), replace=False) for _ in range(sweeps))
    return _wrong(drawn)


def groups(figures: NDArray[np.float64]) -> list[Group]:
    """Each row of figures, (schedulers, seeds), as the test losses of a scheduler's runs."""
    records = [_record(seed) for seed in range(figures.shape[1])]
    return [
        Group(str(number), records, [Score(figure, None) for figure in row])
        for number, row in enumerate(figures.tolist())
    ]


def compared(figures: NDArray[np.float64]) -> list[Comparison]:
    """Compare each row of figures, (schedulers, seeds), with the first, which is the baseline."""
    # As losses, whatever they are: one that is no number is compared as the worst, and better and worse count alike.
    baseline, *others = groups(figures)
    return compare([(other, baseline) for other in others], "test_loss")


def _wrong(sweeps: Iterable[NDArray[np.float64]]) -> Share:
    """Of sweeps without a difference, those with a verdict that there is one."""
    found = [any(each.verdict != "not resolved" for each in compared(figures)) for figures in sweeps]
    return Share(sum(found), len(found))


_SETTINGS: dict[str, Any] = {"name": "alike", "group": "alike", "scheduler": "none", "lr": 1.0}


def _record(seed: int) -> Record:
    """Of a run that never was: a comparison looks at nothing of it but the seed."""
    run = Run.model_construct(**_SETTINGS, seed=seed)
    return Record(run, "finished", [Epoch(1, 1.0, 0.0, 0.0, None)], "none", "none", "none")


def paired_deviation(figures: Sequence[float]) -> float | None:
    """The standard deviation that differences between two schedulers have, from runs of one with many seeds.

    It is that of a difference of two independent runs, √2 times that of one. In a sweep the two have the same seed,
    with it the same initial weights and batches, and their figures may go up and down together; or the other
    scheduler's runs scatter less than the baseline's. Then differences scatter less too, and smaller ones than this
    says are found. How much less depends on the scheduler, so that there is no one number for all of them; this is
    the careful one, as long as no scheduler's runs scatter more than the baseline's.

    Returns:
        None where it cannot be said: for one run, or where one diverged.
    """
    deviation = math.sqrt(2) * spread(figures)
    return None if math.isnan(deviation) else deviation


def power_table(seeds: Sequence[int], comparisons: int, deviation: float | None = None) -> list[Found]:
    """What each number of seeds finds four times out of five.

    Args:
        seeds: the numbers, each at least 2.
        comparisons: that are made together.
        deviation: the standard deviation of paired differences, in the metric's units.
    """
    rows = []
    for count in seeds:
        smallest = detectable(count, comparisons)
        rows.append(Found(count, comparisons, smallest, None if deviation is None else smallest * deviation))
    return rows
