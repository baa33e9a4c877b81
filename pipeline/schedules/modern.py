"""Schedules that practice uses beyond torch's, built from torch's own."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Beyond, FromZero, Within
from pipeline.schedules.stepped import One
from pipeline.settings import NonNegative, Resolved, Share

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler


class _Warmed(Schedule):
    warmup: FromZero
    """Length of the linear warm-up."""
    start_factor: Share = 0.1
    """The factor that the warm-up starts from."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if resolved["warmup"] >= steps:
            raise ValueError(f"warmup {self.warmup} leaves nothing of a run of {epochs} epochs to anneal")
        resolved["steps"] = steps


class WarmupCosine(_Warmed):
    """Linear from lr · start_factor to lr over warmup, then a cosine to eta_min at the end of the run

    The cosine's T_max is what the warm-up leaves of the run: with the whole run it would stop far above eta_min.
    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD", arXiv:1706.02677 (warm-up); Loshchilov & Hutter
    2017, "SGDR", arXiv:1608.03983 (cosine); together: He et al. 2019, "Bag of Tricks", arXiv:1812.01187.
    """

    eta_min: NonNegative = 0.0
    """The lowest rate."""

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        given = self.arguments(optimizer, epochs, batches)
        cosine = lr_scheduler.CosineAnnealingLR(
            optimizer, T_max=given["steps"] - given["warmup"], eta_min=given["eta_min"]
        )
        return _after_warmup(optimizer, given["warmup"], given["start_factor"], [cosine], [])


class WarmupStableDecay(_Warmed):
    """Linear to lr over warmup, then lr, then lr · (1 - u) or lr · (1 - sqrt(u)), u the share of decay that is done

    Source: Hu et al. 2024, "MiniCPM", arXiv:2404.06395 (the schedule); Hägele et al. 2024, "Scaling Laws and
    Compute-Optimal Training Beyond Fixed Training Durations", arXiv:2405.18392 (the 1 - sqrt shape).
    """

    decay: Within
    """Length of the decay to 0 at the end of the run."""
    shape: Literal["linear", "1-sqrt"] = "linear"
    """The shape of the decay."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        super()._settle(resolved, lr, epochs, steps)
        if resolved["warmup"] + resolved["decay"] > steps:
            raise ValueError(f"warmup {self.warmup} and decay {self.decay} are longer than the run of {epochs} epochs")

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        given = self.arguments(optimizer, epochs, batches)
        stable = lr_scheduler.LambdaLR(optimizer, One())
        down: LRScheduler
        if self.shape == "linear":
            down = lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=given["decay"])
        else:
            down = lr_scheduler.LambdaLR(optimizer, OneMinusSqrt(given["decay"]))
        end = given["steps"] - given["decay"]
        return _after_warmup(optimizer, given["warmup"], given["start_factor"], [stable, down], [end])


@dataclass
class OneMinusSqrt:
    """factor(t) = 1 - sqrt(t / decay), down to 0."""

    decay: int
    """Steps to 0."""

    def __call__(self, step: int) -> float:
        return 1 - math.sqrt(min(step / self.decay, 1))


class TriStage(_Warmed):
    """Linear to lr over warmup, then lr for hold, then lr · end_factor^min(u, 1), u the share of decay that is done

    After the decay the rate stays at lr · end_factor. Source: Park et al. 2019, "SpecAugment", arXiv:1904.08779,
    section 3.2.
    """

    hold: FromZero
    """Time at the peak."""
    decay: Beyond
    """Length of the exponential decay."""
    end_factor: Share = 0.01
    """The factor that the decay ends at."""

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        given = self.arguments(optimizer, epochs, batches)
        held = lr_scheduler.LambdaLR(optimizer, HoldThenDecay(given["hold"], given["decay"], self.end_factor))
        return _after_warmup(optimizer, given["warmup"], given["start_factor"], [held], [])


@dataclass
class HoldThenDecay:
    """factor(t) = 1 for hold, then end_factor^((t - hold) / decay), down to end_factor."""

    hold: int
    """Steps at 1."""
    decay: int
    """Steps from 1 to the end factor."""
    end_factor: float
    """The last factor."""

    def __call__(self, step: int) -> float:
        factor: float = self.end_factor ** min(max(step - self.hold, 0) / self.decay, 1)
        return factor


class LinearToZero(_Warmed):
    """Linear to lr over warmup, then linear to 0 at the end of the run

    Source: Bergsma et al. 2025, "Straight to Zero", arXiv:2502.15938 (D2Z).
    """

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        given = self.arguments(optimizer, epochs, batches)
        left = given["steps"] - given["warmup"]
        down = lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=left)
        return _after_warmup(optimizer, given["warmup"], given["start_factor"], [down], [])


class InverseSqrt(Schedule):
    """lr · min((t + 1)/warmup, sqrt(warmup/(t + 1)))

    The Noam schedule, scaled so that its peak is the base rate. Source: Vaswani et al. 2017, "Attention Is All You
    Need", arXiv:1706.03762, equation 3.
    """

    warms_up_over = "warmup"
    shortest_warmup = 2  # its peak is the last step of the warm-up

    warmup: Within
    """Length of the linear warm-up."""

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        return lr_scheduler.LambdaLR(optimizer, Noam(**self.arguments(optimizer, epochs, batches)))


@dataclass
class Noam:
    """factor(t) = min((t + 1) / warmup, sqrt(warmup / (t + 1))): up in a line, down with the inverse root."""

    warmup: int
    """Steps to the peak."""

    def __call__(self, step: int) -> float:
        return min((step + 1) / self.warmup, math.sqrt(self.warmup / (step + 1)))


class REX(Schedule):
    """lr · (1 - z)/(1/2 + (1 - z)/2), z = t/total_iters

    Source: Chen, Wolfe & Kyrillidis 2022, "REX: Revisiting Budgeted Training with an Improved Schedule",
    arXiv:2107.04197.
    """

    ends_after = "total_iters"

    total_iters: Beyond
    """Time until the rate is 0."""

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        return lr_scheduler.LambdaLR(optimizer, Rex(**self.arguments(optimizer, epochs, batches)))


@dataclass
class Rex:
    """factor(t) = (1 - z) / (1/2 + (1 - z) / 2) with z = t / total_iters, down to 0."""

    total_iters: int
    """Steps to 0."""

    def __call__(self, step: int) -> float:
        left = 1 - min(step / self.total_iters, 1)
        return left / (0.5 + 0.5 * left)


def _after_warmup(
    optimizer: "Optimizer", warmup: int, start_factor: float, phases: "list[LRScheduler]", milestones: list[int]
) -> "LRScheduler":
    """Return ``phases`` after a linear warm-up; each but the first begins at its milestone."""
    from torch.optim import lr_scheduler

    if warmup > 0:
        phases = [lr_scheduler.LinearLR(optimizer, start_factor, total_iters=warmup), *phases]
        milestones = [warmup, *milestones]
    return lr_scheduler.SequentialLR(optimizer, phases, milestones)
