"""Defines stochastic weight averaging, which averages the weights and keeps the rate high instead of decaying it."""

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
    """Return 1 until `start`, then move to `swa_factor` over `anneal` steps."""
    done = min(max(step - start, 0) / anneal, 1)
    if anneal_strategy == "cos":
        done = (1 - math.cos(math.pi * done)) / 2
    return 1 + (swa_factor - 1) * done


class SWA(Schedule):
    """lr until start, then to lr · swa_factor over anneal; weights: their mean over all epochs from start on

    The curve is the same as that of torch's SWALR. (Inside a SequentialLR, SWALR begins at `start` or one step later,
    depending on the version of torch.) In the paper, the rate for residual networks fell from 0.1 to 0.05, so the
    factor was 0.5. Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization",
    arXiv:1803.05407.
    """

    factor_of_step = staticmethod(swalr)
    built_in_average = "copy"

    start: Within
    """The time at which the rate begins to change. Averaging begins at this time, rounded to whole epochs."""
    anneal: Within
    """The time that the rate takes to reach its final value."""
    swa_factor: Factor = 0.5
    """The final rate (torch's `swa_lr`) divided by the base rate."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """The shape of the curve while the rate changes."""

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        average = Swa(kind="swa", start=self.start).resolve(epochs, batches)
        return super().resolve(lr, epochs, batches) | {"average": average}
