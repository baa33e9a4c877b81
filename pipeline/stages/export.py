"""Turn a scheduler into code to paste into another project."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any, get_args

from pipeline.errors import UserError, did_you_mean, plural
from pipeline.export import TARGETS, Recipe
from pipeline.report import phrases
from pipeline.runs import params, records
from pipeline.runs.values import RATES, is_rate
from pipeline.schedules import curve
from pipeline.stages.common import MODELS, RESULTS, batches_of_an_epoch
from pipeline.sweep.schedule_checks import tiny_network

if TYPE_CHECKING:
    from pipeline.runs.metric import Metric
    from pipeline.runs.params import Params
    from pipeline.runs.run import Run

NOT_COMPARED = "Not compared: no sweep here has trained it with these settings."
AGAINST = {"better": "better than", "worse": "worse than", "equivalent": "equivalent to"}
"""Maps verdicts against the baseline to words. Any other verdict becomes `open against`."""


def export(
    scheduler: str | None,
    target: str,
    task: str | None = None,
    epochs: int | None = None,
    steps_per_epoch: int | None = None,
    lr: float | None = None,
    interval: str | None = None,
) -> str:
    """Return a scheduler as code for another project.

    Args:
        scheduler: name of the scheduler; by default, the scheduler that the last sweep recommends.
        target: the library that the code is for, one of `TARGETS`.
        task: name of the task; by default, the task in params.yaml.
        epochs: the number of epochs in the user's training; by default, the task's.
        steps_per_epoch: the number of optimizer steps in an epoch of the user's training; by default, the task's.
        lr: another base rate.
        interval: how often the scheduler takes a step, `epoch` or `batch`; by default, the scheduler's own setting.

    Raises:
        UserError: a name or a value is not allowed, or no sweep recommends a scheduler.
    """
    if target not in TARGETS:
        raise UserError(f"--to: unknown {target!r}; {did_you_mean(target, TARGETS)}")
    wanted = params.load(changes=None if task is None else {"task": task})
    run, remarks = _recommended(wanted) if scheduler is None else _named(wanted, scheduler, steps_per_epoch)
    recipe = Recipe(
        scheduler=run.scheduler,
        schedule=run.schedule,
        optimizer=run.workload.optimizer,
        lr=run.lr if lr is None else lr,
        epochs=epochs or run.epochs,
        batches=steps_per_epoch or run.batches,
        batch_size=run.workload.batch_size,
        remarks=remarks,
        training=run.workload,
    )
    recipe = _checked(recipe, run, interval)
    return TARGETS[target](_with_own_code(recipe, target) if recipe.schedule.own else recipe)


def _checked(recipe: Recipe, run: "Run", interval: str | None) -> Recipe:
    """Return the recipe with the given interval, and with a remark on any difference from the run that was compared.

    Raises:
        UserError: the interval or the rate is not allowed, or the settings contradict the length of the run.
    """
    schedule, changed = recipe.schedule, []
    if interval not in (None, "epoch", "batch"):
        raise UserError(f"--interval: unknown {interval!r}; {did_you_mean(interval, ('epoch', 'batch'))}")
    if not is_rate(recipe.lr):
        raise UserError(f"--lr: {recipe.lr:g} is not {RATES}")
    if interval is not None and interval != schedule.interval:
        if interval not in (allowed := get_args(type(schedule).model_fields["interval"].annotation)):
            why = "follows the validation loss" if schedule.needs_val_loss else "counts optimizer steps"
            raise UserError(f"--interval: {recipe.scheduler} {why}; allowed: {allowed[0]}")
        changed.append("stepped once an epoch" if schedule.interval == "epoch" else "stepped once a batch")
        schedule = schedule.model_copy(update={"interval": interval})
    if recipe.epochs != run.epochs:
        changed.append(f"over {plural(run.epochs, 'epoch')}")
    if recipe.lr != run.lr:
        changed.append(f"at a base LR of {run.lr:g}")
    remarks = recipe.remarks
    if changed and NOT_COMPARED not in remarks:
        remarks = [*remarks, f"It was compared {phrases.joined(changed)}."]
    recipe = replace(recipe, schedule=schedule, remarks=remarks)
    try:
        schedule.resolve(recipe.lr, recipe.epochs, recipe.batches)
    except ValueError as error:
        raise UserError(f"{recipe.scheduler}: {error}") from None
    return recipe


def _with_own_code(recipe: Recipe, target: str) -> Recipe:
    """Return the recipe of the user's own schedule, with a remark that names the module that the code needs.

    Raises:
        UserError: the schedule fails, or the target library cannot use it.
    """
    optimizer = recipe.optimizer.build(tiny_network(), recipe.lr)
    built = recipe.schedule.build(optimizer, recipe.epochs, recipe.batches)
    name, module = recipe.schedule.class_, recipe.schedule.class_.partition(":")[0]
    if target == "lightning" and not getattr(built, "can_load", True):
        raise UserError(f"--to lightning: Lightning needs load_state_dict(), which the scheduler of {name} lacks")
    curve(recipe.schedule, recipe.lr, recipe.epochs, recipe.batches)  # raises an error if a step fails
    return replace(recipe, remarks=[*recipe.remarks, f"This code needs your own module {module}."])


def _recommended(wanted: "Params") -> "tuple[Run, list[str]]":
    """Return a run of the scheduler that the last sweep recommends, and the verdict."""
    try:
        sweep = LastSweep(wanted)
    except UserError as error:
        raise UserError(f"no scheduler to recommend; name one, or train: {error}") from None
    return sweep.arms[sweep.leader], [sweep.headline]


def _named(wanted: "Params", scheduler: str, steps_per_epoch: int | None) -> "tuple[Run, list[str]]":
    """Return a run of a scheduler with the settings in params.yaml, and the verdict if these settings were compared."""
    if scheduler not in wanted.schedulers:
        raise UserError(f"unknown scheduler {scheduler!r}; {did_you_mean(scheduler, wanted.schedulers)}")
    chosen = params.load(changes={"task": wanted.task, "scheduler": scheduler, "seeds": 1})
    runs = chosen.runs()
    median_rate = median_low(run.lr for run in runs)
    run = next(run for run in runs if run.lr == median_rate)
    with suppress(UserError):
        sweep = LastSweep(wanted)
        compared = {name: arm for name, arm in sweep.arms.items() if arm.scheduler == scheduler}
        for name in sorted(compared, key=lambda name: name != sweep.leader):
            if compared[name].schedule == run.schedule:
                return compared[name], [sweep.headline, *([] if name == sweep.leader else [sweep.verdict(name)])]
    batches = steps_per_epoch or batches_of_an_epoch(chosen)
    return run.model_copy(update={"batches": batches}), [NOT_COMPARED]


class LastSweep:
    """The sweep in models/ and results/, with its arms and its answer."""

    def __init__(self, wanted: "Params") -> None:
        """Read the files of the sweep.

        Raises:
            UserError: there is no sweep of the task, or the sweep has not been evaluated.
        """
        index = records.read_sweep(MODELS)
        if index.task != wanted.task:
            raise UserError(f"{MODELS} holds runs of {index.task}, not of {wanted.task}; run `uv run dvc repro`")
        self.metric: Metric = wanted.run_metric
        self.baseline = wanted.baseline
        self.leader, headline, self.figures = _answer(RESULTS)
        self.headline = f"The sweep of {index.task} says: {headline}"
        first = {name.rpartition("-s")[0]: name for name in index.runs}
        runs = [records.read(MODELS / name).run for name in first.values()]
        several = len({run.optimizer for run in runs}) > 1
        keys = [(f"{run.scheduler}-{run.optimizer}" if several else run.scheduler, run) for run in runs]
        self.arms: dict[str, Run] = {key: run for key, run in keys if self.figures.get(key, {}).get("lr") == run.lr}
        if self.leader not in self.arms:
            raise UserError(f"{RESULTS} does not belong to the sweep in {MODELS}; run `uv run dvc repro`")

    def verdict(self, name: str) -> str:
        """Return the verdict on an arm, as a sentence."""
        figures = self.figures[name]
        if figures["place"] == "not needed":
            distance = "not needed, because another arm of the sweep is better"
        elif figures.get("bound") is not None:
            distance = f"at most {phrases.amount(figures['bound'], self.metric)} behind the best"
        else:
            distance = "it is not known how far it is behind the best"
        if "verdict" not in figures:
            return f"{name}: {distance}."
        against = AGAINST.get(figures["verdict"], "open against")
        return f"{name}: {distance}; {against} {self.baseline}."


def _answer(results: Path) -> tuple[str, str, dict[str, dict[str, Any]]]:
    """Return the leader of the last answer, the answer as text, and the figures of each arm, keyed by the arm's name.

    Raises:
        UserError: a file is missing or damaged.
    """
    try:
        answer = json.loads((results / "answer.json").read_text(encoding="utf-8"))
        figures = json.loads((results / "schedulers.json").read_text(encoding="utf-8"))
        return answer["leader"], answer["headline"], {name: dict(arm) for name, arm in figures.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise UserError(f"{results} has no answer of a sweep; run `uv run dvc repro` first") from None
