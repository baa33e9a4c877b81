"""params.yaml as typed, validated objects, and the runs that it asks for."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from pipeline.errors import UserError, did_you_mean
from pipeline.settings import CLASSES, TAGS, AnyOptimizer, AnySchedule, Resolved, Settings, Task
from pipeline.settings.tasks import OneOrMoreOptimizers, has_classes, is_rate, is_text, one_or_many

FILE = Path("params.yaml")
Metric = Literal["test_accuracy", "test_loss"]
"""What schedulers are compared by: of an accuracy higher is better, of a loss lower."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One task x scheduler x optimizer x base LR x seed: everything that its result depends on but the data."""

    name: str
    """`<scheduler>-s<seed>`; optimizer and base LR come in where the sweep has several."""
    group: str
    """The name without the seed: what a comparison averages over seeds."""
    task: str
    dataset: Resolved
    model: Resolved
    loss: str
    epochs: int
    batch_size: int
    normalize: Resolved | None
    max_length: int | None
    train_subset: int | None
    record_every: int
    scheduler: str
    schedule: Resolved
    """The scheduler's settings, horizons in its own steps."""
    optimizer: str
    optimizer_settings: Resolved
    lr: float
    """The base rate."""
    seed: int

    def flat(self) -> dict[str, Any]:
        """Every setting under the dotted name that MLflow shows."""
        settings = asdict(self)
        for name in ("name", "group"):
            del settings[name]
        for key, prefix in (("schedule", "scheduler"), ("optimizer_settings", "optimizer")):
            settings |= {f"{prefix}.{name}": value for name, value in _flatten(settings.pop(key))}
        for key in ("dataset", "model"):
            nested = settings[key]
            settings[key] = nested.pop("name")
            settings |= {f"{key}.{name}": value for name, value in _flatten(nested)}
        for key in ("normalize", "max_length"):  # of pictures, of texts
            if settings[key] is None:
                del settings[key]
        return dict(_flatten(settings))


def _flatten(nested: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict):
            yield from ((f"{key}.{inner}", item) for inner, item in _flatten(value))
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield from _flatten({f"{key}.{number}": item for number, item in enumerate(value)})
        else:
            yield key, value


def _seeds(given: Any) -> list[int]:
    if type(given) is int and 1 <= given <= 10_000:
        return list(range(given))
    if isinstance(given, list) and given and all(type(seed) is int and 0 <= seed < 2**32 for seed in given):
        seeds: list[int] = given
        if len(set(seeds)) == len(seeds):
            return seeds
    raise ValueError(f"{given!r} is neither a count from 1 to 10000 nor a list of different seeds from 0")


class Params(Settings):
    """All of params.yaml."""

    task: str
    scheduler: Annotated[str | list[str], one_or_many("the name of a scheduler or all", is_text)]
    optimizer: OneOrMoreOptimizers | None
    lr: Annotated[float | list[float], one_or_many("a learning rate above 0", is_rate)] | None
    seeds: Annotated[list[int], BeforeValidator(_seeds)]
    baseline: str
    metric: Metric | None
    tasks: dict[str, Task]
    optimizers: dict[str, AnyOptimizer]
    schedulers: dict[str, AnySchedule]

    @property
    def run_task(self) -> Task:
        """The task that `task` names."""
        return self.tasks[self.task]

    @property
    def run_metric(self) -> Metric:
        """What the task's schedulers are compared by: `metric`, or accuracy where there are classes."""
        return self.metric or ("test_accuracy" if has_classes(self.run_task.loss) else "test_loss")

    def runs(self, examples: int | None = None) -> list[Run]:
        """The sweep: the product of schedulers, optimizers, base LRs and seeds, in that order.

        Args:
            examples: the size of the training part, which sets how many batches an epoch has; where it is not
                known yet, an epoch counts as one batch, which is enough to check every setting.

        Raises:
            UserError: the settings of a scheduler contradict the length of the run.
        """
        task = self.run_task
        if task.train_subset is not None and examples is not None and task.train_subset > examples:
            where = f"{FILE}: tasks.{self.task}.train_subset"
            raise UserError(f"{where}: {task.train_subset} is more than the {examples} training examples there are")
        batches = 1 if examples is None else math.ceil((task.train_subset or examples) / task.batch_size)
        optimizers = {name: self.optimizer_settings(name) for name in _listed(self.optimizer or task.optimizer)}
        schedulers = self.chosen_schedulers()
        runs = []
        for scheduler in schedulers:
            schedule, own_lr = self.schedule(scheduler)
            rates = [float(lr) for lr in _listed(self.lr) or [own_lr or task.lr]]
            for optimizer, lr in product(optimizers, rates):
                group = "-".join(
                    [scheduler] + [optimizer] * (len(optimizers) > 1) + [f"lr{_short(lr)}"] * (len(rates) > 1)
                )
                with _named(f"schedulers.{scheduler}"):
                    resolved = schedule.resolve(lr, task.epochs, batches)
                runs += [
                    Run(
                        name=f"{group}-s{seed}",
                        group=group,
                        task=self.task,
                        **task.resolve(),
                        scheduler=scheduler,
                        schedule=resolved,
                        optimizer=optimizer,
                        optimizer_settings=optimizers[optimizer],
                        lr=lr,
                        seed=seed,
                    )
                    for seed in self.seeds
                ]
        return runs

    def chosen_schedulers(self) -> list[str]:
        """The names that `scheduler` asks for, each once."""
        chosen = _listed(self.scheduler)
        return list(self.schedulers) if "all" in chosen else chosen

    def schedule(self, name: str) -> tuple[AnySchedule, float | None]:
        """The scheduler as the task has it, and the base LR that the task gives it, if it gives it one."""
        changes = dict(self.run_task.schedulers.get(name, {}))
        own_lr = changes.pop("lr", None)
        settings = self.schedulers[name].model_dump(by_alias=True, exclude_unset=True)
        where = f"tasks.{self.task}.schedulers.{name}"
        if own_lr is not None and not is_rate(own_lr):
            raise UserError(f"{FILE}: {where}.lr: {own_lr!r} is not a learning rate above 0")
        with _named(where):
            return _SCHEDULE.validate_python(settings | changes), own_lr

    def optimizer_settings(self, name: str) -> Resolved:
        """The optimizer as the task has it."""
        changes = self.run_task.optimizers.get(name, {})
        settings = self.optimizers[name].model_dump(by_alias=True, exclude_unset=True)
        with _named(f"tasks.{self.task}.optimizers.{name}"):
            return _OPTIMIZER.validate_python(settings | changes).resolve()


_OPTIMIZER: TypeAdapter[AnyOptimizer] = TypeAdapter(AnyOptimizer)
_SCHEDULE: TypeAdapter[AnySchedule] = TypeAdapter(AnySchedule)


_T = TypeVar("_T")


def _listed(given: _T | list[_T] | None) -> list[_T]:
    if given is None:
        return []
    return given if isinstance(given, list) else [given]


def _short(rate: float) -> str:
    """The shortest text that is this number and no other."""
    return f"{rate:g}" if float(f"{rate:g}") == rate else repr(rate)


def load(path: Path = FILE, changes: Mapping[str, Any] | None = None) -> Params:
    """Read and check params.yaml.

    Args:
        path: the file.
        changes: what to set before the check, by dotted keys, as `dvc exp run -S` does.

    Raises:
        UserError: it cannot be read, or something in it is not allowed; one line says what, where and what is.
    """
    try:
        given = parse(path.read_text(encoding="utf-8"))
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
        section[last] = value
    with _named(""):
        params = Params.model_validate(given)
    _check_names(params)
    params.runs()
    return params


def parse(text: str) -> Any:
    """The value that YAML 1.2 text stands for, in which 1e-05 is a number.

    Raises:
        UserError: it is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{FILE}: not valid YAML: {_yaml_problem(error)}") from None


def _check_names(params: Params) -> None:
    """Refuse a name that stands for nothing, or that could not be a file's name."""
    for section in ("tasks", "optimizers", "schedulers"):
        for name in getattr(params, section):
            if not NAME.fullmatch(name) or name == "all":
                raise UserError(f"{FILE}: {section}: {name!r} is no name; allowed: letters, digits, '-' and '_'")
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
    if params.metric == "test_accuracy" and not has_classes(params.run_task.loss):
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
def _named(where: str) -> Iterator[None]:
    """Turn what pydantic or a setting has to say into one line about ``where`` in the file."""
    try:
        yield
    except ValidationError as error:
        problems = error.errors(include_url=False)
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{FILE}: {_problem(where, problems[0])}{more}") from None
    except ValueError as error:
        raise UserError(f"{FILE}: {where}: {error}") from None


def _problem(where: str, problem: Mapping[str, Any]) -> str:
    context = problem.get("ctx", {})
    key = ".".join([where] * bool(where) + _keys(problem["loc"]))
    match problem["type"]:
        case "missing":
            return f"{key} is missing"
        case "union_tag_not_found":
            return f"{key}.{_tag_key(key)} is missing"
        case "union_tag_invalid":
            allowed = [tag.strip().strip("'") for tag in context["expected_tags"].split(",")]
            place = f"{key}.class" if _tag_key(key) == "class" else key  # a name may stand there alone
            return f"{place}: unknown {context['tag']!r}; {did_you_mean(context['tag'], allowed)}"
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            return f"{key}: unknown {problem['input']!r}; {did_you_mean(problem['input'], allowed)}"
        case "value_error":
            return f"{key}: {context['error']}"
    return f"{key}: {problem['input']!r}: {problem['msg'][0].lower()}{problem['msg'][1:]}"


def _tag_key(key: str) -> str:
    """What says which of several settings stands under ``key``."""
    return "name" if key.endswith((".dataset", ".model")) else "class"


def _keys(location: tuple[int | str, ...]) -> list[str]:
    """A location in the file: a union adds the class's own name to it, which is no key of the file."""
    sections = ("schedulers", "optimizers")
    return [
        str(place)
        for before, place in zip((None, *location), location, strict=False)
        if not (place in CLASSES and before not in sections) and not (place in TAGS and before in ("dataset", "model"))
    ]


def _yaml_problem(error: Exception) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {' '.join(str(error.problem).split())}"
    return " ".join(str(error).split())[:200] or type(error).__name__
