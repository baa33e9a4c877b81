"""A schedule for stochastic weight averaging: a rate that stays high, as the average does what a decay would."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.schedules.averages import Average, Swa
from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Within
from pipeline.settings import Factor

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class SWA(Schedule):
    """lr until start, then to lr · swa_factor over anneal; weights: the mean of those of every epoch from start on

    The rate is that of torch's SWALR. A swa_factor of 0.5 is what the paper's residual networks had: 0.1, then 0.05.
    Source: Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization",
    arXiv:1803.05407.
    """

    averages_itself = True

    start: Within
    """Time at which the rate begins to change and the average begins; the average counts whole epochs."""
    anneal: Within
    """Length of the change."""
    swa_factor: Factor = 0.5
    """The factor of the base rate while weights are averaged: `swa_lr` of torch, divided by the base rate."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """The shape of the change."""

    @property
    def averaging(self) -> Average:
        return Swa(kind="swa", start=self.start)

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        given = self.arguments(optimizer, epochs, batches)
        return lr_scheduler.LambdaLR(optimizer, Swalr(**given))


@dataclass
class Swalr:
    """factor(t) = 1 until start, then to swa_factor over anneal, in a cosine or a line: that of torch's SWALR.

    Not that class itself after another in a SequentialLR: whether its first step is at ``start`` or one later depends
    on torch's version.
    """

    start: int
    """Steps at 1."""
    anneal: int
    """Steps from 1 to the last factor."""
    swa_factor: float
    """The last factor."""
    anneal_strategy: str
    """`cos` or `linear`."""

    def __call__(self, step: int) -> float:
        done = min(max(step - self.start, 0) / self.anneal, 1)
        if self.anneal_strategy == "cos":
            done = (1 - math.cos(math.pi * done)) / 2
        return 1 + (self.swa_factor - 1) * done
