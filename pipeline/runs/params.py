"""Reads params.yaml into typed, validated objects, and creates the runs that the file describes."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError, model_validator

from pipeline import problems
from pipeline.errors import UserError, did_you_mean
from pipeline.losses import LOSSES
from pipeline.optimizers import AnyOptimizer
from pipeline.runs.metric import METRICS, TEST_ACCURACY, TEST_LOSS, Metric
from pipeline.runs.run import Run
from pipeline.runs.task import Task
from pipeline.runs.training_settings import Count
from pipeline.runs.values import (
    RATES,
    Margin,
    OneOrMoreOptimizers,
    OneOrMoreRates,
    Seeds,
    is_rate,
    is_text,
    one_or_many,
    short,
)
from pipeline.runs.workload import NetworkSettings, Workload
from pipeline.runs.yaml_text import parse
from pipeline.schedules import AnySchedule
from pipeline.settings import Settings

__all__ = ["FILE", "Params", "Run", "load"]

FILE = Path("params.yaml")
FIRST_SEEDS = tuple(range(10))
"""The first ten seeds. With `seeds: auto` and several base rates, their runs are used to choose base rates."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class Params(Settings):
    """The content of params.yaml."""

    task: str
    """The name of the task, which is one of the `tasks`."""
    scheduler: Annotated[str | list[str], one_or_many("the name of a scheduler or all", is_text)]
    """The names of one or more `schedulers`, or `all`."""
    optimizer: OneOrMoreOptimizers | None
    """The names of one or more `optimizers`; None for the task's default."""
    lr: OneOrMoreRates | None
    """One or more base rates. If None, each scheduler uses the rate the task sets for it, or else the task's `lr`."""
    seeds: Seeds | None
    """The seeds for each scheduler; None for the task's setting."""
    margin: Margin | None
    """The smallest difference that matters; None for the task's setting."""
    budget: Count | None
    """The maximum number of runs with `seeds: auto`, not counting runs used to choose base rates.

    None stands for the task's setting.
    """
    baseline: str
    """The name of the scheduler to compare the other schedulers with."""
    metric: Literal["test_accuracy", "test_loss"] | None
    """The metric to compare schedulers by; None for the accuracy, or for the loss if the task has no classes."""
    tasks: dict[str, Task]
    """All tasks, keyed by name."""
    optimizers: dict[str, AnyOptimizer]
    """All optimizers, keyed by name."""
    schedulers: dict[str, AnySchedule]
    """All schedulers, keyed by name."""

    @model_validator(mode="before")
    @classmethod
    def _settings_of_tasks(cls, given: Any) -> Any:
        if isinstance(given, dict):
            for key in given:
                if key in Task.model_fields and key not in cls.model_fields:
                    where = f"tasks.{given.get('task')}.{key}"
                    raise ValueError(f"unknown setting {key!r}; it belongs to a task: {where}")
        return given

    @property
    def run_task(self) -> Task:
        """The task of the sweep."""
        return self.tasks[self.task]

    @property
    def run_metric(self) -> Metric:
        """The metric to compare schedulers by: `metric`, or the default for the task if `metric` is None."""
        if self.metric is not None:
            return METRICS[self.metric]
        return TEST_ACCURACY if LOSSES[self.run_task.loss].has_classes else TEST_LOSS

    @property
    def run_seeds(self) -> list[int] | None:
        """The seeds for each scheduler, or None for `auto`, which trains as many seeds as the answer needs."""
        seeds = self.seeds or self.run_task.seeds
        return None if seeds == "auto" else seeds

    @property
    def run_margin(self) -> float:
        """The smallest difference that matters, in percentage points of an accuracy or in per cent of a loss."""
        return self.margin or self.run_task.margin or self.run_metric.margin

    @property
    def run_budget(self) -> int:
        """The maximum number of runs with `seeds: auto`, not counting runs used to choose base rates."""
        return self.budget or self.run_task.budget

    def runs(self, examples: int | None = None, seeds: Sequence[int] | None = None) -> list[Run]:
        """Return the runs of the sweep: all combinations of scheduler, optimizer, base LR and seed, in that order.

        Args:
            examples: the size of the training split, which determines the number of batches in an epoch; None if the
                size is unknown, in which case an epoch counts as one batch, and schedules with lengths in optimizer
                steps are not checked.
            seeds: the seeds to use; None for the seeds in params.yaml or, with `seeds: auto`, for the first ten seeds.

        Raises:
            UserError: the settings contradict each other; for example, a schedule's warmup takes the whole run.
        """
        task, seeds = self.run_task, seeds or self.run_seeds or FIRST_SEEDS
        if task.train_subset is not None and examples is not None and task.train_subset > examples:
            where = f"{FILE}: tasks.{self.task}.train_subset"
            raise UserError(f"{where}: {task.train_subset} is more than the {examples} training examples")
        batches = 1 if examples is None else math.ceil((task.train_subset or examples) / task.examples_per_step)
        optimizers = self.chosen_optimizers()
        if task.no_decay:
            with _errors_at(f"tasks.{self.task}.no_decay"):
                for name, settings in optimizers.items():
                    settings.check_decay(name)
        shared = {key: getattr(task, key) for key in NetworkSettings.model_fields}
        workloads = {name: Workload(**shared, optimizer=settings) for name, settings in optimizers.items()}
        runs = []
        for scheduler in self.chosen_schedulers():
            schedule, own_lr = self.schedule(scheduler)
            rates = [float(lr) for lr in _listed(self.lr or own_lr or task.lr)]
            if examples is not None or not schedule.in_optimizer_steps:
                with _errors_at(f"schedulers.{scheduler}"):
                    for lr in rates:
                        schedule.resolve(lr, task.epochs, batches)
                    for name, settings in optimizers.items():
                        schedule.check(name, settings)
            for optimizer, lr in product(optimizers, rates):
                names = [scheduler]
                if len(optimizers) > 1:
                    names.append(optimizer)
                if len(rates) > 1:
                    names.append(f"lr{short(lr)}")
                group = "-".join(names)
                run = Run(
                    name=group,
                    group=group,
                    task=self.task,
                    scheduler=scheduler,
                    schedule=schedule.fitted(optimizers[optimizer]),
                    optimizer=optimizer,
                    lr=lr,
                    seed=0,
                    epochs=task.epochs,
                    batches=batches,
                    workload=workloads[optimizer],
                )
                runs += [run.with_seed(seed) for seed in seeds]
        return runs

    def chosen_schedulers(self) -> list[str]:
        """Return the names of the sweep's schedulers; `all` stands for every scheduler that fits the optimizers."""
        chosen, optimizers = _listed(self.scheduler), self.chosen_optimizers().values()
        if "all" in chosen:
            return [name for name, schedule in self.schedulers.items() if all(map(schedule.takes, optimizers))]
        return chosen

    def chosen_optimizers(self) -> dict[str, AnyOptimizer]:
        """Return the optimizers of the sweep, keyed by name."""
        return {name: self.optimizer_settings(name) for name in _listed(self.optimizer or self.run_task.optimizer)}

    def schedule(self, name: str) -> tuple[AnySchedule, float | None]:
        """Return a scheduler's settings with the task's changes, and the task's base LR for the scheduler, if any."""
        changes = dict(self.run_task.schedulers.get(name, {}))
        own_lr = changes.pop("lr", None)
        settings = self.schedulers[name].model_dump(by_alias=True, exclude_unset=True)
        where = f"tasks.{self.task}.schedulers.{name}"
        if own_lr is not None and not is_rate(own_lr):
            raise UserError(f"{FILE}: {where}.lr: {own_lr!r} is not {RATES}")
        with _errors_at(where):
            return _SCHEDULE.validate_python(settings | changes), own_lr

    def optimizer_settings(self, name: str) -> AnyOptimizer:
        """Return an optimizer's settings with the task's changes."""
        changes = self.run_task.optimizers.get(name, {})
        settings = self.optimizers[name].model_dump(by_alias=True, exclude_unset=True)
        with _errors_at(f"tasks.{self.task}.optimizers.{name}"):
            return _OPTIMIZER.validate_python(settings | changes)


_OPTIMIZER: TypeAdapter[AnyOptimizer] = TypeAdapter(AnyOptimizer)
_SCHEDULE: TypeAdapter[AnySchedule] = TypeAdapter(AnySchedule)


_T = TypeVar("_T")


def _listed(given: _T | list[_T] | None) -> list[_T]:
    if given is None:
        return []
    return given if isinstance(given, list) else [given]


def load(path: Path = FILE, changes: Mapping[str, Any] | None = None) -> Params:
    """Return the content of params.yaml after checking it.

    Args:
        path: the file.
        changes: the values to set before the checks, keyed by dotted names as in `dvc exp run -S`.

    Raises:
        UserError: the file cannot be read, or a value is not allowed. The message names the key of the wrong value.
    """
    try:
        given = parse(path.read_text(encoding="utf-8"), path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this in the project's root") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from None
    if not isinstance(given, dict):
        raise UserError(f"{path}: must hold the keys {', '.join(Params.model_fields)}")
    for key, value in (changes or {}).items():
        *sections, last = key.split(".")
        section = given
        for name in sections:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise UserError(f"{path}: {key}: {name} is {section!r} and has no settings")
        section[last] = value
    with _errors_at(""):
        params = Params.model_validate(given)
    _check_names(params)
    params.runs()
    if params.run_seeds is None:
        check_budget(params)
    return params


def check_budget(params: Params) -> None:
    """Raise a UserError if the budget allows fewer than two runs of each scheduler with each optimizer.

    The baseline counts as one of the sweep's schedulers.
    """
    arms = len({*params.chosen_schedulers(), params.baseline}) * len(params.chosen_optimizers())
    if params.run_budget < 2 * arms:
        raise UserError(
            f"{FILE}: budget: {params.run_budget} runs are fewer than two for each of {arms} pairs of scheduler and "
            f"optimizer; allowed: at least {2 * arms}"
        )


def _check_names(params: Params) -> None:
    """Raise a UserError for a name that is not defined, or that cannot be part of a file name."""
    for section in ("tasks", "optimizers", "schedulers"):
        for name in getattr(params, section):
            if not NAME.fullmatch(name) or name == "all":
                raise UserError(f"{FILE}: {section}: {name!r} cannot be a name; allowed: letters, digits, '-' and '_'")
    used: list[tuple[str, str, Iterable[str]]] = [("task", params.task, params.tasks)]
    used += [("scheduler", name, [*params.schedulers, "all"]) for name in _listed(params.scheduler)]
    used += [("optimizer", name, params.optimizers) for name in _listed(params.optimizer)]
    used += [("baseline", params.baseline, params.schedulers)]
    for name, task in params.tasks.items():
        used += [(f"tasks.{name}.optimizer", optimizer, params.optimizers) for optimizer in _listed(task.optimizer)]
        used += [(f"tasks.{name}.optimizers", optimizer, params.optimizers) for optimizer in task.optimizers]
        used += [(f"tasks.{name}.schedulers", scheduler, params.schedulers) for scheduler in task.schedulers]
    for key, name, allowed in used:
        if name not in allowed:
            raise UserError(f"{FILE}: {key}: unknown {name!r}; {did_you_mean(name, allowed)}")
    if params.metric == TEST_ACCURACY.name and not LOSSES[params.run_task.loss].has_classes:
        raise UserError(
            f"{FILE}: metric: {params.metric} needs classes, and {params.task} has none; allowed: test_loss"
        )
    for name, task in params.tasks.items():
        chosen = params.model_copy(update={"task": name})
        for scheduler in task.schedulers:
            chosen.schedule(scheduler)
        for optimizer in task.optimizers:
            chosen.optimizer_settings(optimizer)


@contextmanager
def _errors_at(where: str) -> Iterator[None]:
    """Replace a validation error with a UserError that names the key ``where``."""
    try:
        yield
    except ValidationError as error:
        raise UserError(f"{FILE}: {problems.summary(error, where)}") from None
    except ValueError as error:
        raise UserError(f"{FILE}: {where}: {error}") from None
