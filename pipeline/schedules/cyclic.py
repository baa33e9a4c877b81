"""Defines torch's schedules with restarts or cycles: CosineAnnealingWarmRestarts, CyclicLR and OneCycleLR."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Beyond, Interval, Within
from pipeline.schedules.torch_call import TorchCall
from pipeline.settings import Factor, Momentum, NonNegative, Rate, Resolved


class CosineAnnealingWarmRestarts(Schedule):
    """CosineAnnealingLR with t counted from the last restart and T_max = T_0 · T_mult^restarts

    Source: Loshchilov & Hutter 2017, "SGDR", arXiv:1608.03983, equation 5.
    """

    composable = True
    rises_by_design = True
    repeats_after = "T_0"
    without_repeat = "there is no restart"

    T_0: Within
    """The time until the first restart."""
    T_mult: Annotated[int, Field(ge=1)] = 1
    """The length of each period divided by the length of the previous period."""
    eta_min: NonNegative = 0.0
    """The lowest rate."""


class CyclicLR(Schedule):
    """Linear up from base_lr to max_lr over step_size_up, linear down over step_size_down, and again

    Source: Smith 2017, "Cyclical Learning Rates", arXiv:1506.01186.
    """

    rises_by_design = True
    repeats_after = "step_size_up"
    without_repeat = "the LR never comes down"

    interval: Interval = "batch"
    """When the scheduler is stepped: after every epoch, or after every batch."""
    base_lr: Rate | None = None
    """The lowest rate; null for a quarter of `max_lr`."""
    max_lr: Rate | None = None
    """The highest rate; null for the base rate."""
    step_size_up: Within
    """The length of the rise."""
    step_size_down: Within | None = None
    """The length of the fall; null to make it as long as the rise."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    """The height of the cycles is constant with `triangular`, halved after each cycle with `triangular2`, and
    multiplied by gamma^t with `exp_range`."""
    gamma: Factor = 1.0
    """The factor by which each step multiplies the height of the cycles; used only if `mode` is `exp_range`."""
    cycle_momentum: bool = False
    """True to lower the momentum while the rate rises, which also affects comparisons with other schedules."""
    base_momentum: Momentum = 0.8
    """The lowest momentum; used only if `cycle_momentum` is true."""
    max_momentum: Momentum = 0.9
    """The highest momentum; used only if `cycle_momentum` is true."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        resolved["max_lr"] = lr if self.max_lr is None else self.max_lr
        resolved["base_lr"] = resolved["max_lr"] / 4 if self.base_lr is None else self.base_lr
        if resolved["base_lr"] > resolved["max_lr"]:
            raise ValueError(f"base_lr {resolved['base_lr']:g} is above max_lr {resolved['max_lr']:g}")

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        rates = {name: of_each_group(resolved[name], base_rates) for name in ("base_lr", "max_lr")}
        return super().torch_call(resolved | rates, base_rates)


class OneCycleLR(Schedule):
    """Up from max_lr/div_factor to max_lr, down to max_lr/(div_factor · final_div_factor)

    The rate goes through a single cycle. Source: Smith & Topin 2018, "Super-convergence", arXiv:1708.07120.
    """

    ends_after = "total_steps"

    interval: Interval = "batch"
    """When the scheduler is stepped: after every epoch, or after every batch."""
    max_lr: Rate | None = None
    """The peak rate; null for the base rate."""
    total_steps: Beyond
    """The length of the cycle, which must not be shorter than the run."""
    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3
    """The share of the cycle in which the rate rises."""
    anneal_strategy: Literal["cos", "linear"] = "cos"
    """The shape of the rise and the fall."""
    cycle_momentum: bool = False
    """True to lower the momentum while the rate rises, which also affects comparisons with other schedules."""
    base_momentum: Momentum = 0.85
    """The lowest momentum; used only if `cycle_momentum` is true."""
    max_momentum: Momentum = 0.95
    """The highest momentum; used only if `cycle_momentum` is true."""
    div_factor: Annotated[float, Field(ge=1)] = 25.0
    """The peak rate divided by the first rate."""
    final_div_factor: Annotated[float, Field(ge=1)] = 1e4
    """The first rate divided by the last rate."""
    three_phase: bool = False
    """True for three phases: a rise, an equally fast fall to the first rate, and a fall to the last rate."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if self.max_lr is None:
            resolved["max_lr"] = lr
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(f"three_phase: true needs a pct_start of at most 0.5, not {self.pct_start:g}")
        if resolved["total_steps"] < steps:
            raise ValueError(f"total_steps {self.total_steps} is shorter than the run of {epochs} epochs")

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        share = resolved["pct_start"]
        # torch divides by the length of the first phase, so this length, pct_start * total_steps - 1, must not be 0.
        while share * resolved["total_steps"] == 1:
            share = math.nextafter(share, 1)
        rates = {"pct_start": share, "max_lr": of_each_group(resolved["max_lr"], base_rates)}
        return super().torch_call(resolved | rates, base_rates)


def of_each_group(rate: float, base_rates: Sequence[float]) -> float | list[float]:
    """Return a rate for each parameter group, in proportion to the group's base rate.

    Args:
        rate: the rate of the first group.
        base_rates: the base rates of all groups.

    Returns:
        A list of rates, or ``rate`` itself if there is only one group.
    """
    first, *others = base_rates
    return [rate, *(rate if other == first else rate * other / first for other in others)] if others else rate
