"""Stochastic weight averaging: the rate stays high, because an average of the weights replaces the decay."""

import math
from typing import Literal

from pipeline.schedules.averages import Swa
from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Within
from pipeline.settings import Factor, Resolved


def swalr(
    step: int,
    start: int,
    anneal: int,
    swa_factor: float,
    anneal_strategy: str,
) -> float:
    """Return 1 until start, then go to swa_factor over anneal steps."""
    done = min(max(step - start, 0) / anneal, 1)
    if anneal_strategy == "cos":
        done = (1 - math.cos(math.pi * done)) / 2
    return 1 + (swa_factor - 1) * done


class SWA(Schedule):
    """lr until start, then to lr · swa_factor over anneal; weights: the mean of those of every epoch from start on

    The rates are those of torch's SWALR. (Inside a SequentialLR, torch's class begins at `start` or one step later,
    depending on torch's version.) The paper's residual networks went from a rate of 0.1 to 0.05, a swa_factor of 0.5.
    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv:1803.05407.
    """

    factor_of_step = staticmethod(swalr)
    built_in_average = "copy"

    start: Within
    """Time at which the rate begins to change and the average begins; the average starts with a whole epoch."""
    anneal: Within
    """Length of the change."""
    swa_factor: Factor = 0.5
    """The factor of the base rate while weights are averaged: `swa_lr` of torch, divided by the base rate."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """The shape of the change."""

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        average = Swa(kind="swa", start=self.start).resolve(epochs, batches)
        return super().resolve(lr, epochs, batches) | {"average": average}
