"""What is exported: a schedule, an optimizer, and the length of the training they are for."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.export.layout import Raw, Source, literal
from pipeline.optimizers import AnyOptimizer
from pipeline.runs.training_settings import TrainingSettings
from pipeline.schedules import Schedule
from pipeline.schedules.horizons import Horizon
from pipeline.schedules.schedule_free import ScheduleFree
from pipeline.schedules.stepped import Constant
from pipeline.settings import Resolved

EPOCHS, STEPS_PER_EPOCH = "EPOCHS", "STEPS_PER_EPOCH"
"""The constants of emitted code. A length of the whole run is written with them, so that it follows an edit."""


@dataclass(frozen=True)
class Recipe:
    """A schedule with all that its code needs. The number of epochs and steps is the user's own."""

    scheduler: str
    """Its name in params.yaml."""
    schedule: Schedule
    optimizer: AnyOptimizer
    lr: float
    """The base rate."""
    epochs: int
    batches: int
    """Optimizer steps of an epoch."""
    batch_size: int
    remarks: list[str] = field(default_factory=list)
    """What the code rests on, a paragraph each."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """What the task sets besides; a loop shows it, or a comment says it."""

    @cached_property
    def resolved(self) -> Resolved:
        """The settings of the schedule for this length."""
        return self.schedule.resolve(self.lr, self.epochs, self.batches)

    @property
    def by_batch(self) -> bool:
        """True if the scheduler is stepped after every batch."""
        return self.schedule.interval == "batch"

    @property
    def is_constant(self) -> bool:
        """True if there is nothing to schedule."""
        return isinstance(self.schedule, Constant)

    @property
    def is_schedule_free(self) -> bool:
        """True if the optimizer does what a schedule would."""
        return isinstance(self.schedule, ScheduleFree)

    @property
    def has_scheduler(self) -> bool:
        """True if there is something to step."""
        return not (self.is_constant or self.is_schedule_free)

    @property
    def average(self) -> Resolved | None:
        """The settings of the average of the weights that is kept beside the network; None if there is none."""
        return self.resolved.get("average")

    @property
    def steps(self) -> int:
        """Steps of the scheduler in the run."""
        return self.epochs * self.schedule.steps_per_epoch(self.batches)

    @property
    def total(self) -> str:
        """The steps of the scheduler in the run, as source."""
        return f"{EPOCHS} * {STEPS_PER_EPOCH}" if self.by_batch else EPOCHS

    @property
    def total_as_factor(self) -> str:
        """The same where something divides by it."""
        return f"({self.total})" if self.by_batch else self.total

    @property
    def base_rates(self) -> list[float]:
        """The base rate of each of the optimizer's parameter groups."""
        return self.optimizer.base_rates(self.lr)

    def length(self, horizon: Horizon) -> str:
        """Return a length in steps as source; the whole run by the name of its constants."""
        if horizon.unit == "percent" and horizon.amount == 100:
            return self.total
        return str(horizon.steps(self.epochs, self.batches, self.schedule.interval))

    def left_after(self, length: int) -> Raw:
        """Return the steps of the run but ``length`` as source."""
        return Raw(f"{self.total} - {length}" if length else self.total)

    def constants(self, uses_steps: bool) -> list[str]:
        """Return the lines that set the constants."""
        steps = [f"{STEPS_PER_EPOCH} = {self.batches}  # optimizer steps of an epoch"] if uses_steps else []
        return [f"{EPOCHS} = {self.epochs}", *steps]


MANY = 4
"""Of a class with more settings than this, those that are torch's defaults are left out."""


def torch_arguments(recipe: Recipe, part: Schedule) -> dict[str, Source]:
    """Return the arguments of torch's class of the same name as ``part``, which has the recipe's interval."""
    from torch.optim import lr_scheduler

    resolved = part.resolve(recipe.lr, recipe.epochs, recipe.batches)
    settings = {name: value for name, value in resolved.items() if name not in ("class", "interval", "average")}
    if len(settings) > MANY:
        settings = dict(unusual(getattr(lr_scheduler, part.class_), settings))
    named: dict[str, Source] = {}
    for name, value in settings.items():
        written = getattr(part, name)
        if isinstance(written, Horizon):
            named[name] = Raw(recipe.length(written))
        else:
            named[name] = Raw(repr(value)) if isinstance(value, list) else literal(value)
    return named


Named = tuple[str, dict[str, Source]]
"""What a library calls a schedule of its own, and its arguments."""


def named(recipe: Recipe, own: Mapping[type, Callable[[Recipe, Any], Named | None]]) -> Named | None:
    """Return a library's own schedule with the same curve; None if it has none.

    Of those with rates in their arguments, none has the curve of ours where parameter groups have several base rates.

    Args:
        recipe: what is exported.
        own: what finds the library's schedule, by our class.
    """
    if len({*recipe.base_rates}) > 1 and not (recipe.is_constant or recipe.schedule.needs_val_loss):
        return None
    for kind, find in own.items():
        if isinstance(recipe.schedule, kind):
            return find(recipe, recipe.schedule)
    return None


def share_of_lr(recipe: Recipe, share: float) -> Raw:
    """Return a share of the base rate, rounded far below any tolerance: 0.01, where 0.1 * 0.1 has 17 digits."""
    return literal(float(f"{recipe.lr * share:.12g}"))


def unusual(kind: type, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings that are not the defaults of a class; a factor is always worth reading."""
    defaults = inspect.signature(kind).parameters
    for name, value in settings.items():
        default = defaults[name].default
        is_default = value == (list(default) if isinstance(default, tuple) else default)
        if not is_default or name == "factor":
            yield name, value
