"""Defines the base class of all schedules, and the registry of their classes.

Each schedule is a class. The fields of the class are the settings, and the method `build` returns the torch scheduler.
The docstring of the class begins with the formula of the rate, and names the paper after `Source:`. In the formulas, t
counts the scheduler's steps from 0, T is the number of scheduler steps in the run, and lr is the base rate.
"""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import PlainValidator, SerializeAsAny, model_validator

from pipeline.schedules.averages import AnyAverage
from pipeline.schedules.horizons import Horizon, Interval
from pipeline.schedules.torch_call import TorchCall, factor_call
from pipeline.settings import Resolved, Settings, class_field, error_at, validated_by_class
from pipeline.user_code import is_builder

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    from pipeline.optimizers import AnyOptimizer
    from pipeline.schedules.guarded import GuardedScheduler

    TorchScheduler = LRScheduler | ReduceLROnPlateau | GuardedScheduler

REGISTRY: dict[str, type["Schedule"]] = {}
"""Maps the name of each schedule class to the class. Subclasses of `Schedule` are added automatically, except
`UserSchedule` and classes whose names begin with `_`."""


class Schedule(Settings):
    """A learning-rate schedule.

    A subclass adds fields. By default, a schedule uses torch's scheduler class with the same name. If torch has no such
    class, the subclass sets `factor_of_step`, or overrides `torch_call` to combine torch's classes.
    """

    factor_of_step: ClassVar[Callable[..., float] | None] = None
    """A static function that returns the factor for the base rate, given a step and the settings; see `factor_call`."""
    composable: ClassVar[bool] = False
    """True if the schedule can be a part of SequentialLR or ChainedScheduler."""
    sequential: ClassVar[bool] = False
    """True if the schedule runs other schedules one after another."""
    needs_val_loss: ClassVar[bool] = False
    """True if the schedule depends on the validation loss, so its curve is unknown before training."""
    rises_by_design: ClassVar[bool] = False
    """True if the schedule is meant to raise the rate repeatedly."""
    turns_at_end: ClassVar[bool] = False
    """True if the rate rises again after the decay, or False if it then stays constant."""
    ends_after: ClassVar[str | None] = None
    """The name of the setting for the time at which the decay is complete, usually the end of the run."""
    warms_up_over: ClassVar[str | None] = None
    """The name of the setting for the length of the warm-up, if the warm-up can last for the whole run."""
    shortest_warmup: ClassVar[int] = 1
    """The length in steps of the shortest warm-up that begins below the peak rate."""
    repeats_after: ClassVar[str | None] = None
    """The name of the setting for the time after which the schedule repeats."""
    without_repeat: ClassVar[str] = ""
    """Text for a warning that says what happens if the run ends before the schedule repeats."""
    own: ClassVar[bool] = False
    """True if the user's own code builds the scheduler. Such a schedule accepts any setting."""
    built_in_average: ClassVar[Literal["copy", "optimizer"] | None] = None
    """Where the schedule keeps its own average of the weights, or None if it has no average of its own.

    With `copy`, the average is in a copy of the network. With `optimizer`, the optimizer keeps the average. The
    optimizer's method `eval()` puts the average into the network, and its method `train()` restores the weights that
    are being trained. Users can set `average` only for schedules without an average of their own.
    """
    optimizers: ClassVar[tuple[str, ...] | None] = None
    """The names of the optimizer classes that the schedule works with, or None if it works with every class."""

    class_: str = class_field
    """The name of the schedule's class."""
    interval: Interval = "epoch"
    """When the scheduler is stepped: after every epoch, or after every batch."""
    average: AnyAverage = None
    """Which average of the weights to validate, test and publish: {kind: ema}, {kind: swa}, or null for none."""

    @model_validator(mode="after")
    def _has_one_average(self) -> "Schedule":
        if self.average is not None and self.built_in_average:
            raise ValueError(f"{self.class_} averages the weights itself; leave `average` out")
        return self

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        if not (cls.__name__.startswith("_") or cls.own):
            REGISTRY[cls.__name__] = cls

    @property
    def warms_up(self) -> bool:
        """True if the schedule begins with a warm-up whose length is the setting that `warms_up_over` names."""
        return self.warms_up_over is not None

    @property
    def publishes_average(self) -> bool:
        """True if an average of the weights is published instead of the last weights."""
        return self.built_in_average is not None or self.average is not None

    @property
    def in_optimizer_steps(self) -> bool:
        """True if any length is in optimizer steps. Such a length can be checked only after the data are prepared."""
        settings: list[Settings] = [self, *self.parts(), *([self.average] if self.average else [])]
        values = [getattr(part, name) for part in settings for name in type(part).model_fields]
        lengths = [length for value in values for length in (value if isinstance(value, list) else [value])]
        return any(isinstance(length, Horizon) and length.unit == "steps" for length in lengths)

    def parts(self) -> "list[Schedule]":
        """Return the parts of a composed schedule, with its interval, or an empty list for any other schedule."""
        return []

    def steps_per_epoch(self, batches: int) -> int:
        """Return how many times the scheduler is stepped in an epoch of ``batches`` batches."""
        return batches if self.interval == "batch" else 1

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        """Return the settings for a run as plain values, with every length as a number of scheduler steps.

        Args:
            lr: the base rate.
            epochs: the number of epochs in the run.
            batches: the number of batches in an epoch.

        Raises:
            ValueError: the settings contradict each other, or they do not fit the length of the run.
        """
        resolved: Resolved = {"class": self.class_, "interval": self.interval}
        for name in type(self).model_fields:
            if name not in ("class_", "interval", "average"):
                try:
                    resolved[name] = _in_steps(getattr(self, name), epochs, batches, self.interval)
                except ValueError as error:
                    hint = "" if self.needs_val_loss else ", or any number with interval: batch"
                    raise ValueError(f"{name}: {error}; allowed: multiples of {batches} steps{hint}") from None
        self._settle(resolved, lr, epochs, epochs * self.steps_per_epoch(batches))
        if self.average is not None:
            resolved["average"] = self.average.resolve(epochs, batches)
        return resolved

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        """Put settings that depend on the run into ``resolved``. Raise a ValueError if settings contradict each other.

        ``steps`` is the number of scheduler steps in the run.
        """

    def takes(self, optimizer: "AnyOptimizer") -> bool:
        """Return True if the schedule works with ``optimizer``."""
        return self.optimizers is None or optimizer.class_ in self.optimizers

    def refusal(self, name: str, optimizer: "AnyOptimizer") -> str:
        """Return the reason why the schedule does not work with ``optimizer``, which params.yaml calls ``name``."""
        possible = " or ".join(self.optimizers or ())
        return f"{self.class_} needs an optimizer of class {possible}, and {name} is {optimizer.class_}"

    def check(self, name: str, optimizer: "AnyOptimizer") -> None:
        """Raise a ValueError if the schedule does not work with ``optimizer``, which params.yaml calls ``name``."""
        if not self.takes(optimizer):
            raise ValueError(self.refusal(name, optimizer))
        if getattr(self, "cycle_momentum", False) and optimizer.cycled is None:
            problem = "does not use the same setting for all weights" if optimizer.class_ == "Muon" else "has neither"
            needs = "cycle_momentum: true needs an optimizer with momentum or betas"
            raise ValueError(f"{needs}, and {name} ({optimizer.class_}) {problem}")

    def fitted(self, optimizer: "AnyOptimizer") -> "Schedule":
        """Return the schedule, with values filled in for all settings that depend on ``optimizer``."""
        return self

    def optimizer(
        self, settings: "AnyOptimizer", network: "nn.Module", lr: float, no_decay: Collection[str] = ()
    ) -> "Optimizer":
        """Return the torch optimizer for a network. Some schedules replace the run's optimizer with their own.

        Args:
            settings: the settings of the run's optimizer.
            network: the network to train.
            lr: the base rate.
            no_decay: the kinds of weights to exempt from weight decay; see `optimizers.base.exempt`.

        Raises:
            UserError: the network has no weights that this optimizer can train.
        """
        return settings.build(network, lr, no_decay)

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        """Return the call that creates the torch scheduler.

        Args:
            resolved: the settings, as `resolve` returns them.
            base_rates: the base rates of the optimizer's parameter groups.
        """
        settings = arguments(resolved)
        if self.factor_of_step is not None:
            return factor_call(self.factor_of_step, **settings)
        return TorchCall(self.class_, settings)

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "TorchScheduler":
        """Return the torch scheduler, ready for the start of a run.

        Args:
            optimizer: the optimizer, whose `lr` is the base rate. A schedule with its own `max_lr` overwrites `lr`.
            epochs: the number of epochs in the run.
            batches: the number of batches in an epoch.
        """
        base_rates = [group["lr"] for group in optimizer.param_groups]
        return self.torch_call(self.resolve(base_rates[0], epochs, batches), base_rates).build(optimizer)

    def step_epoch(self, scheduler: "TorchScheduler", val_loss: float | None) -> None:
        """Step ``scheduler`` at the end of an epoch if the schedule's interval is `epoch`.

        Args:
            scheduler: the scheduler that `build` returned.
            val_loss: the validation loss; required if `needs_val_loss` is true.
        """
        if self.interval == "epoch":
            scheduler.step()  # type: ignore[call-arg]

    def last_phase(self, epochs: int, batches: int) -> tuple[int, list["Schedule"]]:
        """Return the step at which the run's last phase begins, and the schedules that set the rate in this phase."""
        return 0, [self]


def arguments(resolved: Resolved) -> dict[str, Any]:
    """Return the resolved settings except `class`, `interval` and `average`."""
    return {name: value for name, value in resolved.items() if name not in ("class", "interval", "average")}


def _in_steps(value: Any, epochs: int, batches: int, interval: Interval) -> Any:
    if isinstance(value, Horizon):
        return value.steps(epochs, batches, interval)
    if isinstance(value, list):
        return [_in_steps(item, epochs, batches, interval) for item in value]
    return value


def _validated_part(given: Any) -> Schedule:
    if isinstance(given, Schedule) and given.composable:
        return given
    if isinstance(given, dict) and is_builder(given.get("class")):
        raise ValueError(f"{given['class']}: a schedule of your own cannot be a part; call the other parts in its code")
    part = validated_by_class(given, {name: kind for name, kind in REGISTRY.items() if kind.composable})
    if part.average is not None:
        raise error_at("average", given, "value_error", "belongs to the whole schedule, not to a part of it")
    return part


Part = Annotated[SerializeAsAny[Schedule], PlainValidator(_validated_part)]
"""A schedule that can be a part of a composed schedule. The rate of such a part depends only on the step."""
