"""The settings of each class of scheduler, and how they resolve to the arguments that `schedules.build` gives torch."""

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.schedules.expression import Expression
from pipeline.settings.base import (
    Beyond,
    Factor,
    FromZero,
    Horizon,
    Momentum,
    NonNegative,
    Portion,
    Rate,
    Resolved,
    Settings,
    Share,
    Within,
    type_,
)


class Schedule(Settings):
    """A learning-rate schedule. Its horizons resolve to steps: of an epoch, or of a batch, as ``interval`` says."""

    class_: str = type_
    interval: Literal["epoch", "batch"] = "epoch"
    """How often the scheduler is stepped."""

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        """Plain arguments for a run of ``epochs`` epochs of ``batches`` batches at base rate ``lr``.

        Raises:
            ValueError: the settings contradict each other or the length of the run.
        """
        steps_per_epoch = batches if self.interval == "batch" else 1
        resolved: Resolved = {"class": self.class_, "interval": self.interval}
        for name in type(self).model_fields:
            if name not in ("class_", "interval"):
                resolved[name] = _in_steps(getattr(self, name), epochs, steps_per_epoch)
        self.settle(resolved, lr, epochs, epochs * steps_per_epoch)
        return resolved

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        """Put in what depends on the run, and refuse what cannot be; ``steps`` are the scheduler's, in all."""


def _in_steps(value: Any, epochs: int, steps_per_epoch: int) -> Any:
    if isinstance(value, Horizon):
        return value.steps(epochs, steps_per_epoch)
    if isinstance(value, list):
        return [_in_steps(item, epochs, steps_per_epoch) for item in value]
    return value


class Constant(Schedule):
    """The base rate throughout: what `baseline` compares with. (torch's ConstantLR is something else.)"""

    class_: Literal["Constant"] = type_


class _Expression(Schedule):
    lr_lambda: str | float
    """A factor, as an expression in `epoch`, `epochs`, `step` and `steps` (how many are done, and in all)."""

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        resolved |= {"lr_lambda": str(self.lr_lambda), "epochs": epochs, "steps": steps}
        factor = Expression(resolved["lr_lambda"], epochs, steps)
        for step in range(steps + 1):  # a division by zero may wait anywhere
            factor(step)


class LambdaLR(_Expression):
    class_: Literal["LambdaLR"] = type_


class MultiplicativeLR(_Expression):
    class_: Literal["MultiplicativeLR"] = type_


class StepLR(Schedule):
    class_: Literal["StepLR"] = type_
    step_size: Within
    gamma: Factor = 0.1


class MultiStepLR(Schedule):
    class_: Literal["MultiStepLR"] = type_
    milestones: Annotated[list[Within], Field(min_length=1)]
    gamma: Factor = 0.1

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        _in_order(self.milestones, resolved["milestones"])


class ConstantLR(Schedule):
    class_: Literal["ConstantLR"] = type_
    factor: Share = 1 / 3  # torch divides by it at the end
    total_iters: Beyond


class LinearLR(Schedule):
    class_: Literal["LinearLR"] = type_
    start_factor: Share = 1 / 3
    end_factor: Portion = 1.0
    total_iters: Beyond


class ExponentialLR(Schedule):
    class_: Literal["ExponentialLR"] = type_
    gamma: Factor | None = None
    """The factor of each step; null: the one that ends at `end_factor`."""
    end_factor: Factor = 0.01
    """The factor of the whole run, used where `gamma` is null."""

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        end_factor = resolved.pop("end_factor")
        if self.gamma is None:
            resolved["gamma"] = end_factor ** (1 / steps)


class PolynomialLR(Schedule):
    class_: Literal["PolynomialLR"] = type_
    total_iters: Beyond
    power: Factor = 1.0


class CosineAnnealingLR(Schedule):
    class_: Literal["CosineAnnealingLR"] = type_
    T_max: Beyond
    eta_min: NonNegative = 0.0


class CosineAnnealingWarmRestarts(Schedule):
    class_: Literal["CosineAnnealingWarmRestarts"] = type_
    T_0: Within
    T_mult: Annotated[int, Field(ge=1)] = 1
    eta_min: NonNegative = 0.0


class ReduceLROnPlateau(Schedule):
    class_: Literal["ReduceLROnPlateau"] = type_
    interval: Literal["epoch"] = "epoch"
    mode: Literal["min"] = "min"
    """The validation loss is watched, and it should fall."""
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1
    patience: FromZero
    threshold: NonNegative = 1e-4
    threshold_mode: Literal["rel", "abs"] = "rel"
    cooldown: FromZero = Horizon(0, False, 0)
    min_lr: NonNegative = 0.0
    eps: NonNegative = 1e-8


class CyclicLR(Schedule):
    class_: Literal["CyclicLR"] = type_
    interval: Literal["epoch", "batch"] = "batch"
    base_lr: Rate | None = None
    """The lowest rate; null: a quarter of `max_lr`."""
    max_lr: Rate | None = None
    """The highest rate; null: the base LR."""
    step_size_up: Within
    step_size_down: Within | None = None
    """null: as `step_size_up`."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular"
    gamma: Factor = 1.0
    cycle_momentum: bool = False
    base_momentum: Momentum = 0.8
    max_momentum: Momentum = 0.9

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        resolved["max_lr"] = lr if self.max_lr is None else self.max_lr
        resolved["base_lr"] = resolved["max_lr"] / 4 if self.base_lr is None else self.base_lr
        if resolved["base_lr"] > resolved["max_lr"]:
            raise ValueError(f"base_lr {resolved['base_lr']:g} is above max_lr {resolved['max_lr']:g}")


class OneCycleLR(Schedule):
    class_: Literal["OneCycleLR"] = type_
    interval: Literal["epoch", "batch"] = "batch"
    max_lr: Rate | None = None
    """The peak; null: the base LR."""
    total_steps: Beyond
    pct_start: Annotated[float, Field(gt=0, lt=1)] = 0.3
    anneal_strategy: Literal["cos", "linear"] = "cos"
    cycle_momentum: bool = False
    base_momentum: Momentum = 0.85
    max_momentum: Momentum = 0.95
    div_factor: Annotated[float, Field(ge=1)] = 25.0
    final_div_factor: Annotated[float, Field(ge=1)] = 1e4
    three_phase: bool = False

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if self.max_lr is None:
            resolved["max_lr"] = lr
        if self.three_phase and self.pct_start > 0.5:
            raise ValueError(f"three_phase: true needs a pct_start of at most 0.5, not {self.pct_start:g}")
        if resolved["total_steps"] < steps:
            raise ValueError(f"total_steps {self.total_steps} ends before the run of {epochs} epochs: it cannot go on")


Inner = Annotated[
    LambdaLR
    | MultiplicativeLR
    | StepLR
    | MultiStepLR
    | ConstantLR
    | LinearLR
    | ExponentialLR
    | PolynomialLR
    | CosineAnnealingLR
    | CosineAnnealingWarmRestarts,
    Field(discriminator="class_"),
]
"""What SequentialLR and ChainedScheduler take: all that sets the rate from the step alone."""


class _Composed(Schedule):
    schedulers: Annotated[list[Inner], Field(min_length=2)]

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        # The parts are stepped when the whole is, whatever their own interval says.
        parts = [part.model_copy(update={"interval": self.interval}) for part in self.schedulers]
        resolved = super().resolve(lr, epochs, batches)
        return resolved | {"schedulers": [part.resolve(lr, epochs, batches) for part in parts]}


class SequentialLR(_Composed):
    class_: Literal["SequentialLR"] = type_
    milestones: Annotated[list[Within], Field(min_length=1)]

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if len(self.milestones) != len(self.schedulers) - 1:
            raise ValueError(
                f"{len(self.schedulers)} schedulers in sequence need {len(self.schedulers) - 1} milestones, "
                f"not {len(self.milestones)}"
            )
        _in_order(self.milestones, resolved["milestones"])


class ChainedScheduler(_Composed):
    class_: Literal["ChainedScheduler"] = type_


class _Warmed(Schedule):
    warmup: FromZero
    start_factor: Share = 0.1
    """The factor that a linear warm-up starts from."""

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        if resolved["warmup"] >= steps:
            raise ValueError(f"warmup {self.warmup} leaves nothing of a run of {epochs} epochs to anneal")
        resolved["steps"] = steps


class WarmupCosine(_Warmed):
    class_: Literal["WarmupCosine"] = type_
    eta_min: NonNegative = 0.0


class WarmupStableDecay(_Warmed):
    class_: Literal["WarmupStableDecay"] = type_
    decay: Within
    shape: Literal["linear", "1-sqrt"] = "linear"

    def settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        super().settle(resolved, lr, epochs, steps)
        if resolved["warmup"] + resolved["decay"] > steps:
            raise ValueError(f"warmup {self.warmup} and decay {self.decay} are longer than the run of {epochs} epochs")


class LinearToZero(_Warmed):
    class_: Literal["LinearToZero"] = type_


class InverseSqrt(Schedule):
    class_: Literal["InverseSqrt"] = type_
    warmup: Within


class REX(Schedule):
    class_: Literal["REX"] = type_
    total_iters: Beyond


def _in_order(written: list[Horizon], resolved: list[int]) -> None:
    """Refuse milestones that fall; percentages of a short run may round to the same step, numbers may not."""
    for (first, step), (second, next_step) in pairwise(zip(written, resolved, strict=True)):
        rounded = step == next_step and first.percent and second.percent and first.amount < second.amount
        if step >= next_step and not rounded:
            raise ValueError(f"milestones are out of order: {first} is not before {second}")


AnySchedule = Annotated[
    Constant
    | LambdaLR
    | MultiplicativeLR
    | StepLR
    | MultiStepLR
    | ConstantLR
    | LinearLR
    | ExponentialLR
    | PolynomialLR
    | CosineAnnealingLR
    | CosineAnnealingWarmRestarts
    | ReduceLROnPlateau
    | CyclicLR
    | OneCycleLR
    | SequentialLR
    | ChainedScheduler
    | WarmupCosine
    | WarmupStableDecay
    | LinearToZero
    | InverseSqrt
    | REX,
    Field(discriminator="class_"),
]
