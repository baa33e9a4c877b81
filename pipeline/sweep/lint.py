"""Warnings about the schedules of a sweep, computed in the workers, and about its optimizers."""

from collections.abc import Sequence

from pipeline.runs.params import Run
from pipeline.schedules import curve
from pipeline.schedules.lint import warnings
from pipeline.sweep.pool import Workers


def lint_sweep(workers: Workers, runs: Sequence[Run]) -> list[str]:
    """Return what looks like a mistake in the schedules and the optimizers of a sweep, a line each.

    A schedule is the same for every seed and optimizer, and usually as wrong at another base LR: of each scheduler
    the first group with warnings is named.

    Args:
        workers: to compute rates with.
        runs: of a sweep; their `batches` must be known.
    """
    groups = {run.group: run for run in runs}
    found: dict[str, list[str]] = {}
    for step in workers.work(lint_run, list(groups.values())):
        if step.item is not None and step.result is not None:
            found[step.item.group] = step.result
    told: dict[str, list[str]] = {}
    for group, run in groups.items():
        told[run.scheduler] = told.get(run.scheduler) or found.get(group, [])
    lines = [line for of_scheduler in told.values() for line in of_scheduler]
    rateless = {run.optimizer: run.workload.optimizer.class_ for run in runs if not run.workload.optimizer.follows_rate}
    why = "takes the rate for its first step alone, and no schedule changes anything; any other class follows it"
    return [*lines, *(f"{name}: {kind} {why}" for name, kind in rateless.items())]


def lint_run(run: Run) -> list[str]:
    """Return what looks like a mistake in the schedule of a run; its group begins each line."""
    rates = curve(run.schedule, run.lr, run.epochs, run.batches)
    if run.schedule.interval == "epoch":
        rates = rates[:: run.batches]  # all batches of an epoch have one rate: one of them will do
    lines = warnings(run.schedule, run.lr, run.epochs, rates, run.batches)
    return [f"{run.group}: {line}" for line in lines]
