"""Defines `Recipe`, which holds everything that exported code depends on, such as the schedule and the optimizer."""

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
"""Names of two constants in exported code. The code uses them to express lengths that span the whole run."""


class Steps(int):
    """A number of steps that exported code writes as an expression, such as `EPOCHS - 2`."""

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
    """A schedule and everything else that its exported code depends on.

    The fields `epochs` and `batches` describe the training for which the code is exported.
    """

    scheduler: str
    """The name of the scheduler in params.yaml."""
    schedule: Schedule
    optimizer: AnyOptimizer
    lr: float
    """The base rate."""
    epochs: int
    batches: int
    """The number of optimizer steps in an epoch."""
    batch_size: int
    remarks: list[str] = field(default_factory=list)
    """Paragraphs for the comment at the top of the exported code, such as the verdict."""
    training: TrainingSettings = field(default_factory=TrainingSettings)
    """The other settings of the task. A comment in the exported code lists those that the code does not apply."""

    @cached_property
    def resolved(self) -> Resolved:
        """The resolved settings of the schedule. A length that spans the whole run is an instance of `Steps`."""
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
        """True if an optimizer from the `schedulefree` package replaces the scheduler."""
        return isinstance(self.schedule, ScheduleFree)

    @property
    def has_scheduler(self) -> bool:
        """True if the exported code has a scheduler to step."""
        return not (self.is_constant or self.is_schedule_free)

    @property
    def average(self) -> Resolved | None:
        """The settings of the average of the weights, or None if the schedule has no average."""
        return self.resolved.get("average")

    @property
    def steps(self) -> int:
        """The number of scheduler steps in the run."""
        return self.epochs * self.schedule.steps_per_epoch(self.batches)

    @property
    def base_rates(self) -> list[float]:
        """The base rate of each of the optimizer's parameter groups."""
        return self.optimizer.base_rates(self.lr)

    @property
    def fits_a_library(self) -> bool:
        """True if a schedule of the target library can reproduce the rates of all parameter groups.

        A library's schedule has one minimum rate for all parameter groups, but some schedules of this project scale the
        minimum by each group's base rate. If the base rates differ, the library's schedule is therefore used only for a
        constant rate or for a rate that follows the validation loss.
        """
        return len({*self.base_rates}) == 1 or self.is_constant or self.schedule.needs_val_loss


Named = tuple[str, dict[str, Any]]
"""The name and the arguments of a library's own schedule."""


def share_of_lr(recipe: Recipe, share: float) -> float:
    """Return a share of the base rate, rounded to 12 digits, so 0.1 * 0.1 gives 0.01, not 0.010000000000000002."""
    return float(f"{recipe.lr * share:.12g}")


def unusual(kind: type, settings: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings that differ from the defaults of the class ``kind``. For clarity, always include `factor`."""
    defaults = inspect.signature(kind).parameters
    for name, value in settings.items():
        default = defaults[name].default
        if isinstance(default, tuple) and isinstance(value, list):
            value = tuple(value)
        if value != default or name == "factor":
            yield name, value
