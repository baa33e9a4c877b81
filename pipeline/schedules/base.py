"""The base of all schedules, and the registry of their classes.

A schedule is one class: its settings are fields, its formula is the first line of its docstring, and `build` gives
the torch scheduler. In the formulas t counts the scheduler's steps from 0, T is their number in the run and lr the
base rate.
"""

import inspect
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import PlainValidator, SerializeAsAny, model_validator

from pipeline.schedules.averages import AnyAverage, Average
from pipeline.schedules.horizons import Horizon, Interval
from pipeline.settings import Resolved, Settings, class_field, error_at, validated_by_class
from pipeline.user_code import is_builder

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

    from pipeline.optimizers import AnyOptimizer
    from pipeline.schedules.guarded import Guarded

    TorchScheduler = LRScheduler | ReduceLROnPlateau | Guarded

REGISTRY: dict[str, type["Schedule"]] = {}
"""Every schedule of the pipeline by the name of its class. A subclass of `Schedule` enters itself unless its name
begins with `_`."""


class Schedule(Settings):
    """A learning-rate schedule. Its lengths resolve to steps, of an epoch or of a batch as ``interval`` says.

    A subclass adds fields. `build` gives torch's class of the same name; a schedule that torch does not have, or
    that needs more than the resolved arguments, overrides it.
    """

    composable: ClassVar[bool] = False
    """True if it can be a part of SequentialLR or ChainedScheduler."""
    composed: ClassVar[bool] = False
    """True if it is made of other schedules."""
    sequential: ClassVar[bool] = False
    """True if it is made of others that follow each other."""
    needs_val_loss: ClassVar[bool] = False
    """True if it follows the validation loss, so that nobody knows its curve before training."""
    rises_by_design: ClassVar[bool] = False
    """True if the rate goes up again and again."""
    turns_at_end: ClassVar[bool] = False
    """True if the rate rises again once `ends_after` is over; otherwise it stays."""
    ends_after: ClassVar[str | None] = None
    """The length after which the decay is complete, usually the whole run."""
    warms_up_over: ClassVar[str | None] = None
    """The length of a warm-up that nothing else keeps below the run's; see `warms_up`."""
    shortest_warmup: ClassVar[int] = 1
    """The fewest steps of `warms_up_over` in which the rate stays below its peak."""
    repeats_after: ClassVar[str | None] = None
    """The length after which the schedule repeats itself."""
    without_repeat: ClassVar[str] = ""
    """The consequence of a run that ends before `repeats_after`."""
    own: ClassVar[bool] = False
    """True if the user's own code builds it; then its settings are whatever that takes."""
    averages_itself: ClassVar[bool] = False
    """True if it has an average of the weights of its own, so that it takes no other."""
    switches_weights: ClassVar[bool] = False
    """True if its optimizer keeps that average, and `eval()` and `train()` put it into the network and out again."""
    optimizers: ClassVar[tuple[str, ...] | None] = None
    """The classes of optimizer that it is for; None: any."""

    class_: str = class_field
    """The name of the schedule's class."""
    interval: Interval = "epoch"
    """The scheduler is stepped after every epoch, or after every batch."""
    average: AnyAverage = None
    """The average of the weights that is validated, tested and published, {kind: ema} or {kind: swa}; null: none."""

    @model_validator(mode="after")
    def _has_one_average(self) -> "Schedule":
        if self.average is not None and self.averages_itself:
            raise ValueError(f"{self.class_} averages the weights itself; leave `average` out")
        return self

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        if not (cls.__name__.startswith("_") or cls.own):
            REGISTRY[cls.__name__] = cls

    @classmethod
    def formula(cls) -> str:
        """Return the learning rate as a formula: the first line of the docstring."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    @classmethod
    def source(cls) -> str:
        """Return where the schedule was published: what follows `Source:` in the docstring; empty if nothing does."""
        _, _, source = inspect.cleandoc(cls.__doc__ or "").partition("Source: ")
        return " ".join(source.split()).rstrip(".")

    @property
    def warms_up(self) -> bool:
        """True if the rate rises over `warms_up_over`."""
        return self.warms_up_over is not None

    @property
    def averaging(self) -> Average | None:
        """The average of the weights that a run keeps beside the network; None: none."""
        return self.average

    @property
    def averages(self) -> bool:
        """True if what is published are not the last weights but an average."""
        return self.averages_itself or self.average is not None

    def steps_per_epoch(self, batches: int) -> int:
        """Return how often the scheduler is stepped in an epoch of ``batches`` batches."""
        return batches if self.interval == "batch" else 1

    def resolve(self, lr: float, epochs: int, batches: int) -> Resolved:
        """Return plain settings for a run: lengths in steps, and what is null replaced by what it stands for.

        Args:
            lr: the base rate.
            epochs: of the run.
            batches: of an epoch.

        Raises:
            ValueError: the settings contradict each other or the length of the run.
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
        if self.averaging is not None:
            resolved["average"] = self.averaging.resolve(epochs, batches)
        return resolved

    @property
    def in_optimizer_steps(self) -> bool:
        """True if a length is given in optimizer steps: it cannot be judged before the data are known."""
        settings: list[Settings] = [self, *([] if self.average is None else [self.average])]
        found = [getattr(each, name) for each in settings for name in type(each).model_fields]
        lengths = [each for value in found for each in (value if isinstance(value, list) else [value])]
        return any(isinstance(each, Horizon) and each.unit == "steps" for each in lengths) or any(
            part.in_optimizer_steps for part in self.parts()
        )

    def parts(self) -> "list[Schedule]":
        """Return the schedules that it is made of, with the interval of the whole."""
        return []

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        """Add to ``resolved`` what depends on the run; raise ValueError for contradictions. ``steps`` is T."""

    def check(self, name: str, optimizer: "AnyOptimizer") -> None:
        """Raise ValueError if the schedule needs what ``optimizer``, which params.yaml calls ``name``, lacks."""
        if not self.takes(optimizer):
            possible = " or ".join(self.optimizers or ())
            raise ValueError(f"{self.class_} needs an optimizer of class {possible}, and {name} is {optimizer.class_}")
        if getattr(self, "cycle_momentum", False) and optimizer.cycled is None:
            lacks = f"{name} ({optimizer.class_}) has neither"
            if optimizer.class_ == "Muon":
                lacks = f"{name} (Muon) has not the same of the two for all weights"
            raise ValueError(f"cycle_momentum: true needs an optimizer with momentum or betas, and {lacks}")

    def takes(self, optimizer: "AnyOptimizer") -> bool:
        """Return True if the schedule is for optimizers of this class."""
        return self.optimizers is None or optimizer.class_ in self.optimizers

    def fitted(self, optimizer: "AnyOptimizer") -> "Schedule":
        """Return the schedule as it is with ``optimizer``, on which its defaults may depend."""
        return self

    def optimizer(
        self, settings: "AnyOptimizer", network: "nn.Module", lr: float, no_decay: Collection[str] = ()
    ) -> "Optimizer":
        """Return the optimizer of a network's weights: that of ``settings``, or one instead of it.

        Args:
            settings: of the run's optimizer.
            network: any.
            lr: the base rate.
            no_decay: kinds of weights without weight decay, as `optimizers.base.exempt` takes them.

        Raises:
            UserError: the network has no weights for such an optimizer.
        """
        return settings.build(network, lr, no_decay)

    def arguments(self, optimizer: "Optimizer", epochs: int, batches: int) -> dict[str, Any]:
        """Return the resolved settings but class, interval and average, at the base rate of ``optimizer``."""
        group = optimizer.param_groups[0]
        # A part of a composition is built after others, which have changed the rate already.
        resolved = self.resolve(group.get("initial_lr", group["lr"]), epochs, batches)
        return {key: value for key, value in resolved.items() if key not in ("class", "interval", "average")}

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "TorchScheduler":
        """Return the torch scheduler at its first step.

        Args:
            optimizer: its `lr` is the base rate. Schedules with a rate of their own (`max_lr`) set it at once.
            epochs: of the run.
            batches: of an epoch.
        """
        from torch.optim import lr_scheduler

        arguments = self.arguments(optimizer, epochs, batches)
        scheduler: TorchScheduler = getattr(lr_scheduler, self.class_)(optimizer, **arguments)
        return scheduler

    def step_epoch(self, scheduler: "TorchScheduler", val_loss: float | None) -> None:
        """Step ``scheduler`` at the end of an epoch, unless it is stepped after every batch.

        Args:
            scheduler: as `build` returned it.
            val_loss: the validation loss, for a schedule that `needs_val_loss`.
        """
        if self.interval == "epoch":
            scheduler.step()  # type: ignore[call-arg]

    def last_phase(self, epochs: int, batches: int) -> tuple[int, list["Schedule"]]:
        """Return the step at which the last phase of a run begins, and the schedules that set the rate in it."""
        return 0, [self]


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
        raise ValueError(f"{given['class']}: a schedule of your own cannot be a part; let it call the others itself")
    part = validated_by_class(given, {name: kind for name, kind in REGISTRY.items() if kind.composable})
    if part.average is not None:
        raise error_at("average", given, "value_error", "belongs to the whole schedule, not to a part of it")
    return part


Part = Annotated[SerializeAsAny[Schedule], PlainValidator(_validated_part)]
"""A schedule that can be a part of a composition: one that sets the rate from the step alone."""
