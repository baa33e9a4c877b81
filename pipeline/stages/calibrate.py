"""Measure how often the verdicts of sweeps are wrong."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from pipeline.comparison import answer, calibration
from pipeline.comparison.calibration import Design, Errors, Trial
from pipeline.comparison.groups import Group, at_own_best, comparable_figures, grouped
from pipeline.comparison.standing import Rules
from pipeline.runs.params import FIRST_SEEDS, check_budget
from pipeline.stages.common import CACHE, DATA, MODELS, Machine, prepared_data, root, warn
from pipeline.sweep.cache import CHECKPOINTS, RunCache
from pipeline.sweep.execution import check, evaluate
from pipeline.sweep.execution import train as train_runs
from pipeline.sweep.jobs import TrainJob
from pipeline.sweep.lock import exclusive
from pipeline.sweep.pool import Workers
from pipeline.sweep.rounds import most_seeds, outcome

if TYPE_CHECKING:
    from pipeline.comparison.anytime import FloatArray
    from pipeline.runs.metric import Figures
    from pipeline.runs.params import Params, Run
    from pipeline.runs.records import Record

COPIES = 4
"""For copies of a scheduler, the number of sweeps is divided by this number, because every scheduler is copied."""


def calibrate(params: "Params", console: Console, machine: Machine, sweeps: int, seeds: int, pool: int) -> None:
    """Simulate sweeps whose true answer is known, and measure how often the verdict is wrong.

    Args:
        params: the settings, which name the task and the schedulers to train.
        console: prints the results.
        machine: where to train the runs and draw the sweeps.
        sweeps: number of sweeps of each kind; a quarter as many for the copies of each scheduler.
        seeds: number of seeds of each scheduler in sweeps with fixed seeds.
        pool: number of real runs of each scheduler to draw sweeps from.
    """
    from pipeline.report import terminal

    check_budget(params)
    budget, metric = params.run_budget, params.run_metric
    wanted = machine.cores if machine.cluster is None else params.run_budget
    with machine.workers(wanted, params.runs(), console) as workers:
        groups = _trained(params, pool, console, machine, workers)
        figures = comparable_figures(groups, metric)
        scale = answer.scale(metric, params.run_margin, prepared_data(params).examples["test"])
        rules = answer.rules([group.method for group in groups], params.baseline, scale)
        designs: dict[str, tuple[Design, int]] = {
            f"as many seeds as it takes, at most {budget} runs": (
                partial(outcome, budget=budget),
                most_seeds(len(groups), budget),
            ),
            f"{seeds} seeds of each": (calibration.fixed, seeds),
        }
        names = [group.name for group in groups]
        with console.status("drawing sweeps"):
            errors = measured(workers, names, figures, rules, [*designs.values()], sweeps)
    tables = {f"{len(groups)} schedulers, {title}": rows for title, rows in zip(designs, errors, strict=True)}
    terminal.print_errors(console, tables, f"{params.task}: how often {sweeps:,} sweeps are wrong")
    deviation = calibration.paired_deviation(figures, rules)
    terminal.print_power(console, sorted({1, len(rules.pairs) or 1}), metric, deviation)


def measured(
    workers: Workers,
    names: Sequence[str],
    figures: "FloatArray",
    rules: Rules,
    designs: Sequence[tuple[Design, int]],
    sweeps: int,
) -> list[list[Errors]]:
    """Return the error rates of each design, with a row for each kind of sweep.

    There are five rows: normally distributed figures, copies of the scheduler with the most false verdicts, copies of
    the scheduler with the median number of false verdicts, real runs shifted to the same mean, and unchanged real runs.

    Args:
        workers: the worker processes, which draw and judge the sweeps.
        names: the names of the schedulers.
        figures: the figures of real runs, shape (schedulers, runs); higher is better.
        rules: the rules of the comparison.
        designs: the designs, each with the largest number of seeds that a scheduler can have.
        sweeps: number of sweeps of each kind; a quarter as many for the copies of each scheduler.
    """
    arms = len(names)
    all_arms = [calibration.alike(arms, float(np.median(figures.std(1, ddof=1))))]
    all_arms += [calibration.recentred(figures), calibration.as_they_are(figures)]
    copies = [calibration.copies(name, row, arms) for name, row in zip(names, figures, strict=True)]
    cases = [(case, sweeps) for case in all_arms] + [(case, max(1, sweeps // COPIES)) for case in copies]
    trials = [[Trial(case, design, seeds, rules, count) for case, count in cases] for design, seeds in designs]
    errors: dict[Trial, Errors] = {}
    for step in workers.work(calibration.measure, [trial for of_design in trials for trial in of_design]):
        if step.item is not None and step.result is not None:
            errors[step.item] = step.result
    rows = []
    for of_design in trials:
        normal, one_mean, real, *of_copies = [errors[trial] for trial in of_design]
        rows.append([normal, *calibration.worst_and_median(of_copies), one_mean, real])
    return rows


def _trained(params: "Params", pool: int, console: Console, machine: Machine, workers: Workers) -> list[Group]:
    """Train ``pool`` runs of each scheduler at its best base LR, and return them in groups; leave models/ unchanged."""
    prepared = prepared_data(params)
    runs = params.model_copy(update={"seeds": list(range(pool))}).runs(prepared.examples["train"])
    complain = partial(warn, console)
    with TemporaryDirectory() as folder, exclusive(MODELS, root() / CACHE, complain):
        models = Path(folder)
        job = TrainJob(DATA, (root() / CACHE / CHECKPOINTS).absolute(), threads=machine.threads(workers))
        cache = RunCache(DATA, models, root() / CACHE, workers.handshake())
        stack_size = check(workers, DATA, runs, complain)

        def results(of: "Sequence[Run]") -> "list[tuple[Record, Figures]]":
            trained = train_runs(workers, job, cache, of, stack_size, console, complain)
            records = {done.record.run.name: done.record for ended in trained for done in ended}
            evaluated = evaluate(workers, DATA, models, [records[run.name] for run in of])
            return [(records[run.name], evaluated[run.name].figures) for run in of]

        first = results([run for run in runs if run.seed in FIRST_SEEDS])
        chosen = {group.name for group in at_own_best(grouped(first))}
        others = [run for run in runs if run.group in chosen and run.seed not in FIRST_SEEDS]
        rest = results(others) if others else []
    return [group for group in grouped([*first, *rest]) if group.name in chosen]
