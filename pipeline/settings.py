"""What may be set: the types of one scheduler, optimizer and model in params.yaml, and nothing heavier.

Each scheduler type resolves itself to plain numbers: the arguments that `schedules.build` gives to torch.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from pipeline.errors import did_you_mean
from pipeline.expression import Expression

type_ = Field(alias="class")


class Settings(BaseModel):
    """Settings under one key of params.yaml: typed, immutable, and closed to unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, given: Any) -> Any:
        if isinstance(given, dict):
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in given:
                if key not in known:
                    raise ValueError(f"unknown setting {key!r}; {did_you_mean(key, known)}")
        return given


@dataclass(frozen=True)
class Horizon:
    """A length of training: a whole number of epochs, or a percentage of the run.

    A percentage serves every budget; it is rounded half up to whole steps of the scheduler, and to ``least``
    at the least. A number of epochs is taken as it is.
    """

    amount: float
    percent: bool
    least: int

    def steps(self, epochs: int, steps_per_epoch: int) -> int:
        """The length in steps of a scheduler that is stepped ``steps_per_epoch`` times in each of ``epochs``."""
        if self.percent:
            return max(self.least, math.floor(self.amount / 100 * epochs * steps_per_epoch + 0.5))
        return int(self.amount) * steps_per_epoch

    def written(self) -> int | str:
        """As the file has it."""
        return f"{self.amount:g}%" if self.percent else int(self.amount)

    def __str__(self) -> str:
        return str(self.written())


def horizon(least: int, most_percent: int) -> PlainValidator:
    """A pydantic validator for a `Horizon` of at least ``least`` epochs and at most ``most_percent`` of the run."""
    allowed = f"a whole number of epochs from {least}, or a percentage up to {most_percent}% such as '30%'"

    def parse(given: Any) -> Horizon:
        if isinstance(given, Horizon):
            return given
        try:
            if isinstance(given, str) and given.endswith("%"):
                parsed = Horizon(float(given[:-1]), True, least)
                fits = (parsed.amount > 0 or least == parsed.amount == 0) and parsed.amount <= most_percent
            else:
                parsed = Horizon(given, False, least)
                fits = type(given) is int and least <= given <= 10**9
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"{given!r} is not {allowed}")
        return parsed

    return PlainValidator(parse)


as_written = PlainSerializer(Horizon.written)
Within = Annotated[Horizon, horizon(1, 100), as_written]
"""A horizon that makes sense inside the run only, such as a milestone."""
Beyond = Annotated[Horizon, horizon(1, 1000), as_written]
"""A horizon that may lie beyond the end of the run: a schedule made for a longer run, stopped early."""
FromZero = Annotated[Horizon, horizon(0, 100), as_written]
"""A horizon that may be nothing."""

Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Portion = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Resolved = dict[str, Any]
"""Plain numbers, texts and lists of them, as JSON would hold them."""


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
    factor: Portion = 1 / 3
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


class _Optimizer(Settings):
    """Torch's arguments, by torch's names; the learning rate is the run's."""

    class_: str = type_

    def resolve(self) -> Resolved:
        return {"class": self.class_} | self.model_dump(exclude={"class_"})


class SGD(_Optimizer):
    class_: Literal["SGD"] = type_
    momentum: Momentum = 0.0
    weight_decay: NonNegative = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SGD":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self


class _Adam(_Optimizer):
    betas: Annotated[list[Momentum], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    eps: Rate = 1e-8
    weight_decay: NonNegative = 0.0
    amsgrad: bool = False


class Adam(_Adam):
    class_: Literal["Adam"] = type_


class AdamW(_Adam):
    class_: Literal["AdamW"] = type_
    weight_decay: NonNegative = 0.01


class RMSprop(_Optimizer):
    class_: Literal["RMSprop"] = type_
    alpha: Momentum = 0.99
    eps: Rate = 1e-8
    momentum: Momentum = 0.0
    weight_decay: NonNegative = 0.0


AnyOptimizer = Annotated[SGD | Adam | AdamW | RMSprop, Field(discriminator="class_")]


class MLP(Settings):
    """A multilayer perceptron: fully connected layers with ReLU between."""

    name: Literal["mlp"]
    hidden: Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=1)]
    """Units of each hidden layer."""


AnyModel = MLP

CLASSES = frozenset(kind.__name__ for union in (AnySchedule, AnyOptimizer) for kind in get_args(get_args(union)[0]))
"""Every name that may stand under `class`."""
