"""Finds from a range test which rates are stable, at which rate the loss falls fastest, and which rates to try.

Sources: Smith 2017, section 3.3 (arXiv:1506.01186); Smith & Topin 2018 (arXiv:1708.07120). No I/O.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from pipeline.runs.params import Run
from pipeline.runs.records import Stable

LOWEST, HIGHEST, STEPS = 1e-6, 10.0, 421
"""The lowest rate, the highest rate and the number of rates in a test. There are 60 rates for each factor of ten."""
SEEDS = (0, 1, 2)
"""The seeds of a test."""
WIDTH = 0.1
"""The width of the smoothing, in powers of ten. A loss measured at a rate this far away has a weight of 1/e."""
FALLEN = 0.1
"""The loss counts as having begun to fall once it has completed this share of its total fall.

A loss counts as falling only if it falls by more than this share of its initial value.
"""
RISEN = 0.2
"""The loss counts as risen once it has climbed back by more than this share of its fall."""
WIDEST = 3.0
"""The largest factor between neighbouring rates in a suggested grid."""


@dataclass(frozen=True)
class RangeTest:
    """A range test of one optimizer."""

    optimizer: str
    rates: Sequence[float]
    """The rate of each batch, in increasing order."""
    losses: Sequence[Sequence[float]]
    """For each seed, the loss at the start and after each batch. A loss is NaN or infinite after the run diverges."""


@dataclass(frozen=True)
class Reading:
    """The result of a range test."""

    steepest: float
    """The rate at which the loss falls fastest."""
    last_stable: float
    """The highest rate at which the loss has not risen again, or infinity if this is the highest tested rate."""
    travel: float
    """The sum of the rates up to the rate where the loss begins to fall; it measures how far the weights must move."""

    def stable(self, batches: int) -> Stable:
        """Return the stable base rates for runs with ``batches`` batches.

        A rate is too low if a whole run at this rate would move the weights less than the test moves them before the
        loss begins to fall.
        """
        high = None if math.isinf(self.last_stable) else self.last_stable
        return Stable(self.travel / batches, high, self.grid)

    @property
    def suggestion(self) -> float:
        """The base rate to try first, which is the geometric mean of `steepest` and `last_stable`."""
        return math.sqrt(self.steepest * min(self.last_stable, HIGHEST))

    @property
    def grid(self) -> list[float]:
        """Up to three stable rates: the suggested rate, a lower rate and a higher rate, without duplicates."""
        factor = min(WIDEST, (self.suggestion / self.steepest) ** 0.8)
        rates = (self.suggestion / factor, self.suggestion, self.suggestion * factor)
        return list(dict.fromkeys(float(f"{rate:.2g}") for rate in rates))


def rates() -> list[float]:
    """Return the rates of a test, evenly spaced on a log scale."""
    return [float(rate) for rate in np.geomspace(LOWEST, HIGHEST, STEPS)]


def smooth(rates: Sequence[float], losses: Sequence[float]) -> NDArray[np.float64]:
    """Return the loss after the batch at each rate, smoothed with weights that decay exponentially in both directions.

    A running mean of earlier losses would make the loss seem to rise too late. Losses are capped at twice the loss at
    the start, because an exploding loss would outweigh all other losses.

    Args:
        rates: the rates of the test, evenly spaced on a log scale.
        losses: the loss at the start, followed by the loss after the batch at each rate.
    """
    start, after = losses[0], np.asarray(losses[1:], float)
    after = np.minimum(np.where(np.isfinite(after), after, np.inf), start + abs(start))
    place = np.log10(np.asarray(rates, float)) / WIDTH
    weights = np.exp(-np.abs(place[:, None] - place[None, :]))
    smoothed: NDArray[np.float64] = weights @ after / weights.sum(axis=1)
    return smoothed


def curves(test: RangeTest) -> list[tuple[float, NDArray[np.float64]]]:
    """For each seed whose loss falls, return the loss at the start and the smoothed losses.

    A seed is left out if its loss never falls, for example because its network is dead.
    """
    smoothed = [(losses[0], smooth(test.rates, losses)) for losses in test.losses if math.isfinite(losses[0])]
    return [(start, losses) for start, losses in smoothed if start - losses.min() > FALLEN * abs(start)]


def read(test: RangeTest) -> Reading | None:
    """Return the result of a test as medians over its seeds, or None if the loss does not fall for any seed."""
    readings = [_read(test.rates, start, smoothed) for start, smoothed in curves(test)]
    if not readings:
        return None
    steepest, last, travel = zip(*readings, strict=True)
    last_stable = median_low(last)  # the lower rate is safer
    return Reading(min(median_low(steepest), last_stable), last_stable, median_low(travel))


def _read(rates: Sequence[float], start: float, smoothed: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return `steepest`, `last_stable` and `travel`, as in `Reading`, for one seed."""
    lowest = float(smoothed.min())
    last = int(np.flatnonzero(smoothed <= lowest + RISEN * (start - lowest))[-1])
    begun = int(np.flatnonzero(smoothed <= start - FALLEN * (start - lowest))[0])
    slopes = np.gradient(smoothed, np.log(np.asarray(rates)))[: last + 1]
    is_stable_throughout = last == len(rates) - 1
    return rates[int(slopes.argmin())], math.inf if is_stable_throughout else rates[last], sum(rates[: begun + 1])


def stable(tests: Iterable[RangeTest], batches: int) -> dict[str, Stable]:
    """Return the stable base rates for runs with ``batches`` batches, keyed by optimizer.

    An optimizer is left out if the loss does not fall in its range test.
    """
    readings = {test.optimizer: read(test) for test in tests}
    return {optimizer: reading.stable(batches) for optimizer, reading in readings.items() if reading is not None}


@dataclass(frozen=True)
class Outside:
    """Base rates outside the stable range of one optimizer; either all are too low or all are too high."""

    optimizer: str
    is_low: bool
    rates: list[float]
    schedulers: list[str]
    """The schedulers that have runs at these rates."""


def outside(runs: Iterable[Run], stable: Mapping[str, Stable]) -> list[Outside]:
    """Return the base rates of ``runs`` that lie outside the stable range of their optimizer.

    For each optimizer, rates that are too low come before rates that are too high.
    """
    unstable = [run for run in runs if run.optimizer in stable and not stable[run.optimizer].holds(run.lr)]
    parts = []
    for optimizer, limits in stable.items():
        for is_low in (True, False):
            part = [run for run in unstable if run.optimizer == optimizer and (run.lr < limits.low) == is_low]
            if part:
                rates = sorted({run.lr for run in part})
                parts.append(Outside(optimizer, is_low, rates, list(dict.fromkeys(run.scheduler for run in part))))
    return parts
