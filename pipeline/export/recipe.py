"""A recipe, which holds the schedule, the optimizer and the length of the training to write code for."""

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from pipeline.export.formatting import Raw
from pipeline.optimizers import AnyOptimizer
from pipeline.runs.training_settings import TrainingSettings
from pipeline.schedules import Schedule
from pipeline.schedules.annealing import ExponentialLR
from pipeline.schedules.horizons import Horizon
from pipeline.schedules.schedule_free import ScheduleFree
from pipeline.schedules.stepped import Constant
from pipeline.settings import Resolved

EPOCHS, STEPS_PER_EPOCH = "EPOCHS", "STEPS_PER_EPOCH"
"""Names of the constants in emitted code. A length that spans the whole run is written in terms of these constants."""


class Steps(int):
    """A number of steps, and its source in terms of the constants, such as `EPOCHS - 2`."""

    source: str

    def __new__(cls, count: int, source: str) -> Self:
        steps = super().__new__(cls, count)
        steps.source = source
        return steps

    def __repr__(self) -> str:
        return self.source

    def __sub__(self, other: int) -> "Steps":
        return Steps(int(self) - int(other), f"{self!r} - {other!r}") if other else self


@dataclass(frozen=True)
class Recipe:
    """A schedule, and everything else that its code needs. The user may choose the numbers of epochs and batches."""

    scheduler: str
    """The name of the schedule in params.yaml."""
    schedule: Schedule
    optimizer: AnyOptimizer
    lr: float
    """The base rate."""
    epochs: int
    batches: int
    """Number of optimizer steps in an epoch."""
    batch_size: int
    remarks: list[str] = field(default_factory=list)
    """Paragraphs at the top of the code, such as the verdict."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """The other settings of the task. The training loop applies some of them, and a comment lists the rest."""

    @cached_property
    def resolved(self) -> Resolved:
        """The settings of the schedule for this length of run; a length that spans the whole run is of type `Steps`."""
        return self._with_constants(self.schedule, self.schedule.resolve(self.lr, self.epochs, self.batches))

    def _with_constants(self, schedule: Schedule, resolved: Resolved) -> Resolved:
        total = f"{EPOCHS} * {STEPS_PER_EPOCH}" if self.by_batch else EPOCHS
        steps = Steps(self.steps, total)
        written: dict[str, Any] = {"epochs": Steps(self.epochs, EPOCHS), "steps": steps}
        for name in type(schedule).model_fields:
            length = getattr(schedule, name)
            if isinstance(length, Horizon) and (length.amount, length.unit) == (100, "percent"):
                written[name] = steps
        if isinstance(schedule, ExponentialLR) and schedule.gamma is None:
            written["gamma"] = Raw(f"{schedule.end_factor!r} ** (1 / {f'({total})' if self.by_batch else total})")
        if parts := schedule.parts():
            written["schedulers"] = list(map(self._with_constants, parts, resolved["schedulers"]))
        return resolved | {name: value for name, value in written.items() if name in resolved}

    @property
    def by_batch(self) -> bool:
        """True if the scheduler is stepped after every batch."""
        return self.schedule.interval == "batch"

    @property
    def is_constant(self) -> bool:
        """True if the rate never changes."""
        return isinstance(self.schedule, Constant)

    @property
    def is_schedule_free(self) -> bool:
        """True if an optimizer from the package schedulefree replaces the scheduler."""
        return isinstance(self.schedule, ScheduleFree)

    @property
    def has_scheduler(self) -> bool:
        """True if the code has a scheduler to step."""
        return not (self.is_constant or self.is_schedule_free)

    @property
    def average(self) -> Resolved | None:
        """The settings of the average of the weights, or None if there is no average."""
        return self.resolved.get("average")

    @property
    def steps(self) -> int:
        """Number of scheduler steps in the run."""
        return self.epochs * self.schedule.steps_per_epoch(self.batches)

    @property
    def base_rates(self) -> list[float]:
        """The base rate of each of the optimizer's parameter groups."""
        return self.optimizer.base_rates(self.lr)

    @property
    def fits_a_library(self) -> bool:
        """True if a library's own schedule may have the same curves.

        In a library's schedule, a rate such as a minimum applies to all parameter groups; in ours, it is a share of
        each group's base rate. With several base rates, the curves can therefore be the same only if no argument is a
        rate.
        """
        return len({*self.base_rates}) == 1 or self.is_constant or self.schedule.needs_val_loss


Named = tuple[str, dict[str, Any]]
"""The name of a library's own schedule, and its arguments."""


def share_of_lr(recipe: Recipe, share: float) -> float:
    """Return a share of the base rate, rounded to 12 digits: 0.1 * 0.1 is 0.01, not 0.010000000000000002."""
    return float(f"{recipe.lr * share:.12g}")


def unusual(kind: type, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings that differ from the defaults of a class; `factor` is always included, for clarity."""
    defaults = inspect.signature(kind).parameters
    for name, value in settings.items():
        default = defaults[name].default
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(value)
        if value != default or name == "factor":
            yield name, value
