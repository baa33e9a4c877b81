"""Measure how often the verdict is wrong."""

from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.sweep.jobs import TrainJob
from pipeline.sweep.lock import exclusive
from pipeline.sweep.training import check
from pipeline.sweep.training import train as train_runs

if TYPE_CHECKING:
    from pipeline.params import Params


from pipeline.stages.common import CACHE, DATA, MODELS, Machine, evaluated, prepared_data, root, warn


def calibrate(params: "Params", console: Console, machine: Machine, sweeps: int, seeds: int) -> None:
    """Measure how often the verdict is wrong where all schedulers are one, and how small a difference it finds.

    Args:
        params: of the task; its baseline is trained.
        console: where to print.
        machine: where to train.
        sweeps: how many to make up, and to draw from real runs.
        seeds: of each scheduler in them.
    """
    from numpy.random import default_rng

    from pipeline.comparison import calibration
    from pipeline.report import terminal

    schedulers = len(params.schedulers)
    figures = _baseline_figures(params, schedulers * seeds, console, machine)
    with console.status("comparing"):
        rates = {
            "simulated, normally distributed": calibration.simulated(sweeps, schedulers, seeds, default_rng(0)),
            f"{params.task}, {len(figures)} runs of {params.baseline}": calibration.resampled(
                figures, sweeps, schedulers, seeds, default_rng(0)
            ),
        }
    deviation = calibration.paired_deviation(figures)
    tables = [calibration.power_table(calibration.SEEDS, count, deviation) for count in (1, schedulers - 1)]
    title = f"{schedulers} copies of one scheduler, {seeds} seeds each: sweeps that call any of them better or worse"
    terminal.print_false_positives(console, rates, title)
    terminal.print_power(console, tables, params.run_metric, deviation)


def _baseline_figures(params: "Params", seeds: int, console: Console, machine: Machine) -> list[float]:
    """Return the metric of runs of the baseline that differ in their seeds; models/ is left as it is."""
    pool = params.model_copy(update={"scheduler": params.baseline, "seeds": list(range(seeds))})
    runs = pool.runs(prepared_data(params).examples["train"])
    runs = [run for run in runs if run.group == runs[0].group]  # of several optimizers and base LRs, the first
    complain = partial(warn, console)
    with (
        TemporaryDirectory() as folder,
        exclusive(MODELS, root() / CACHE, complain),
        machine.workers(len(runs)) as workers,
    ):
        models = Path(folder)
        job = TrainJob(DATA, models, root() / CACHE, threads=machine.cores // workers.jobs)
        stackable = check(workers, DATA, runs[0])
        trained = [done.record for done in train_runs(workers, job, runs, stackable, console, complain)]
        found = evaluated(workers, trained, models)
    return [getattr(found[run.name].score, params.run_metric) for run in runs]
