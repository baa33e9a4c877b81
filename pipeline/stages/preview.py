"""Print and draw learning-rate curves without training."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import median_low
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline.errors import UserError
from pipeline.report import terminal
from pipeline.report.panels import rates as draw_rates
from pipeline.report.style import save
from pipeline.runs import params
from pipeline.runs.yaml_text import parse
from pipeline.schedules import curve, lint, table
from pipeline.schedules.schedule_table import formula, source
from pipeline.stages import common
from pipeline.sweep.schedule_checks import rehearse

if TYPE_CHECKING:
    from pipeline.runs.params import Params


def print_table(console: Console, markdown: bool = False) -> None:
    """Print all schedulers in params.yaml with formulas and sources, optionally as Markdown for docs/schedules.md."""
    schedulers = params.load().schedulers
    if markdown:
        print(table(schedulers))
        return
    rows = [(name, schedule.class_, formula(schedule), source(schedule)) for name, schedule in schedulers.items()]
    terminal.print_schedulers(console, rows)


def draw(
    console: Console,
    names: Sequence[str],
    task: str | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    settings: Sequence[str] = (),
    png: Path | None = None,
) -> Path:
    """Print and draw the learning-rate curves of the named schedulers.

    Args:
        console: prints the curves.
        names: the names of the schedulers, or `all`.
        task: name of the task, which sets the length of the run; by default, the task in params.yaml.
        epochs: another number of epochs.
        lr: another base rate.
        settings: changed settings, as KEY=VALUE.
        png: the picture's file; by default, results/schedules.png.

    Returns:
        The path of the picture.

    Raises:
        UserError: a name, a setting or a value is not allowed.
    """
    target = common.picture(png, "schedules.png")
    wanted = _with(names, task, epochs, lr, settings)
    batches = common.batches_of_an_epoch(wanted)
    curves = {}
    for run in wanted.runs(batches * wanted.run_task.examples_per_step):
        rates = curves[run.group] = curve(run.schedule, run.lr, run.epochs, batches)
        terminal.print_curve(console, run.group, rates, run.epochs)
        resolved = run.schedule.resolve(run.lr, run.epochs, batches)
        details = ", ".join(f"{key}={value}" for key, value in resolved.items() if key != "class")
        about = f"  {formula(run.schedule)}\n  {details}\n  {source(run.schedule)}\n"
        console.print(about, markup=False, highlight=False)
        for line in lint.warnings(run.schedule, run.lr, run.epochs, rates):
            common.warn(console, f"{run.group}: {line}")
        if run.schedule.own:
            try:
                rehearse(run)
            except UserError as error:
                common.warn(console, f"{run.group} cannot be trained: {error}")
    title = f"{wanted.task}: learning rate over the run"
    save(draw_rates(curves, wanted.run_task.epochs, title), target)
    return target


def _with(
    names: Sequence[str], task: str | None, epochs: int | None, lr: float | None, settings: Sequence[str]
) -> "Params":
    """Return the params with the changes that the command's options ask for."""
    wanted = params.load()
    changes: dict[str, Any] = {"task": task or wanted.task, "scheduler": list(names), "seeds": 1, "optimizer": None}
    changes["lr"] = wanted.lr if lr is None else lr
    wanted = params.load(changes=changes)
    changes[f"tasks.{wanted.task}.lr"] = median_low(wanted.run_task.rates)  # draw only the median rate
    if epochs is not None:
        changes[f"tasks.{wanted.task}.epochs"] = epochs
    for name, setting in product(wanted.chosen_schedulers(), settings):
        key, _, value = setting.partition("=")
        changes[f"tasks.{wanted.task}.schedulers.{name}.{key}"] = parse(value, params.FILE)
    return params.load(changes=changes)
