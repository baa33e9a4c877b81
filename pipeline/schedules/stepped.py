"""Defines schedules that keep the rate constant or change it abruptly."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import Beyond, FromZero, Horizon, Within, check_order
from pipeline.settings import Factor, NonNegative, Resolved, Share

if TYPE_CHECKING:
    from pipeline.schedules.base import TorchScheduler


def constant(step: int) -> float:
    """Return 1, the factor of a constant rate."""
    return 1.0


class Constant(Schedule):
    """lr

    The rate is always the base rate. This schedule is the usual baseline. (torch's ConstantLR is a different schedule.)
    """

    factor_of_step = staticmethod(constant)


class ConstantLR(Schedule):
    """lr · factor while t < total_iters, then lr

    Source: PyTorch.
    """

    composable = True
    warms_up_over = "total_iters"

    factor: Share = 1 / 3  # 0 is not allowed, because torch divides by the factor to return to the base rate
    """The factor applied to the base rate at the start."""
    total_iters: Beyond
    """The time for which the factor applies."""

    @property
    def warms_up(self) -> bool:
        return self.factor < 1


class StepLR(Schedule):
    """lr · gamma^floor(t / step_size)

    Source: PyTorch.
    """

    composable = True
    repeats_after = "step_size"
    without_repeat = "the LR never changes"

    step_size: Within
    """The time from one drop to the next."""
    gamma: Factor = 0.1
    """The factor by which each drop multiplies the rate."""


class MultiStepLR(Schedule):
    """lr · gamma^(number of milestones at or before t)

    Source: PyTorch.
    """

    composable = True

    milestones: Annotated[list[Within], Field(min_length=1)]
    """The times at which the rate drops, in ascending order."""
    gamma: Factor = 0.1
    """The factor by which each drop multiplies the rate."""

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        check_order(self.milestones, resolved["milestones"])


class ReduceLROnPlateau(Schedule):
    """lr · factor^(number of times the validation loss did not fall for patience epochs)

    Curves of this schedule are drawn as if the validation loss never fell. Source: PyTorch.
    """

    needs_val_loss = True

    interval: Literal["epoch"] = "epoch"
    """Always `epoch`, because there is one validation loss per epoch."""
    mode: Literal["min"] = "min"
    """Always `min`, because the validation loss should fall."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """The factor by which each drop multiplies the rate."""
    patience: FromZero
    """How long the validation loss may go without an improvement before the rate drops."""
    threshold: NonNegative = 1e-4
    """The smallest fall in the validation loss that counts as an improvement."""
    threshold_mode: Literal["rel", "abs"] = "rel"
    """With `rel`, the threshold is a share of the best loss; with `abs`, it is a difference from the best loss."""
    cooldown: FromZero = Horizon(0)
    """The time after a drop in the rate during which epochs without an improvement do not count."""
    min_lr: NonNegative = 0.0
    """The lowest rate that the schedule can reach."""
    eps: NonNegative = 1e-8
    """The schedule skips drops in the rate that are smaller than this value."""

    def step_epoch(self, scheduler: "TorchScheduler", val_loss: float | None) -> None:
        assert val_loss is not None
        scheduler.step(val_loss)  # type: ignore[arg-type,call-arg]
