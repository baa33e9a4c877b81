"""Train the sweep."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline.comparison import stability
from pipeline.comparison.answer import scale
from pipeline.errors import ExternalError
from pipeline.runs import records
from pipeline.runs.records import Record
from pipeline.stages.common import (
    CACHE,
    DATA,
    MODELS,
    Machine,
    left_out,
    open_tracker,
    prepared_data,
    root,
    say,
    sweep_fingerprint,
    warn,
    with_baseline,
)
from pipeline.sweep.auto import Auto
from pipeline.sweep.cache import CHECKPOINTS, RunCache
from pipeline.sweep.cost import Cost
from pipeline.sweep.execution import check, score
from pipeline.sweep.execution import train as train_runs
from pipeline.sweep.jobs import Trained, TrainJob
from pipeline.sweep.lock import exclusive
from pipeline.sweep.lr_range import RangeJob, is_cheap, range_tests
from pipeline.sweep.pool import Workers
from pipeline.sweep.schedule_checks import lint_sweep, rehearse_sweep

if TYPE_CHECKING:
    from pipeline.datasets import Summary
    from pipeline.runs.params import Params, Run
    from pipeline.tracking.tracker import Tracker


@dataclass
class _Trainer:
    """A callable that trains runs and logs them to MLflow."""

    workers: Workers
    job: TrainJob
    cache: RunCache
    stack_size: int
    console: Console
    cost: Cost
    tracker: "Tracker"
    trained: list[Trained] = field(default_factory=list)

    def __call__(self, runs: Sequence["Run"]) -> list[Record]:
        """Train runs, and return their records in the order of ``runs``.

        Raises:
            ExternalError: some runs failed; all other runs are kept.
        """
        failed: dict[str, str] = {}
        finished: dict[str, Record] = {}
        complain, tell = partial(warn, self.console), partial(self.tracker.update, {run.name: run for run in runs})
        how = self.workers, self.job, self.cache, runs, self.stack_size
        for ended in train_runs(*how, self.console, complain, failed, tell):
            self.trained += ended
            finished |= {done.record.run.name: done.record for done in ended}
            self.tracker.finish(ended)
            if line := self.cost.measured(ended[0]):
                say(self.console, line)
        if failed:
            for run in runs:
                if run.name in failed:
                    self.tracker.fail(run, self.cache.fingerprint(run), failed[run.name])
            reasons = "; ".join(sorted(set(failed.values())))
            raise ExternalError(
                f"{len(failed)} of {len(runs)} runs failed ({reasons}): {', '.join(failed)}; the other runs are "
                "kept, and need not be trained again"
            )
        return [finished[run.name] for run in runs]


def train(
    params: "Params", console: Console, machine: Machine, checkpoint_every: float = 5.0, track_every: float = 5.0
) -> list[Trained]:
    """Train every run of the sweep, and log each run to MLflow while it trains and when it ends.

    Args:
        params: the settings of the sweep.
        console: prints messages and progress.
        machine: where to train.
        checkpoint_every: the shortest time between two checkpoints of a run, in seconds.
        track_every: seconds between two updates of a run in MLflow.

    Raises:
        ExternalError: some runs failed; all other runs are kept.
    """
    prepared, params = prepared_data(params), with_baseline(params, console)
    runs = params.runs(prepared.examples["train"])
    complain = partial(warn, console)
    with exclusive(MODELS, root() / CACHE, complain), machine.workers(len(runs), runs, console) as workers:
        import_module("pipeline.tracking.tracker")  # takes seconds, so it is done while the workers import torch
        threads = machine.threads(workers)
        checkpoints = (root() / CACHE / CHECKPOINTS).absolute()  # the current folder is different on a cluster's nodes
        job = TrainJob(DATA, checkpoints, checkpoint_every, threads)
        stack_size = check(workers, DATA, runs, complain)
        rehearse_sweep(workers, runs)
        for line in [*left_out(params), *lint_sweep(workers, runs)]:
            complain(line)
        cache = RunCache(DATA, MODELS, root() / CACHE, workers.handshake())
        sweep = sweep_fingerprint(params, runs, cache.fingerprint(runs[0]))
        tracker = open_tracker(params, prepared, console, sweep, trains=True)
        cost = Cost(params, runs, workers.jobs, root() / CACHE)
        stable = _stable(workers, runs, cost.least, stack_size, console, threads)
        bar = [prepared.language.bar()] if prepared.language else []
        for line in [*cost.lines(), *bar]:
            say(console, line)
        records.clear(MODELS)
        with tracker.training(workers.kill, track_every):
            trainer = _Trainer(workers, job, cache, stack_size, console, cost, tracker)
            names = [record.run.name for record in _sweep(params, prepared, runs, trainer, console)]
    records.write_sweep(MODELS, records.Sweep(params.task, names, sweep, stable))
    return trainer.trained


def _stable(
    workers: Workers, runs: Sequence["Run"], least: int, stack_size: int, console: Console, threads: int
) -> dict[str, records.Stable]:
    """Return each optimizer's stable base rates, or {} if range tests cost too much; also warn about unstable rates."""
    from pipeline.report.advice import unstable

    if not is_cheap(runs, least, stack_size):
        return {}
    job = RangeJob(DATA, tuple(stability.rates()), threads)
    with console.status("testing the range of learning rates"):
        tests = range_tests(workers, job, runs, stack_size, cache=root() / CACHE)
        stable = stability.stable(tests, runs[0].epochs * runs[0].batches)
    for line in unstable(runs, stable):
        warn(console, line)
    return stable


def _sweep(
    params: "Params", prepared: "Summary", runs: Sequence["Run"], trainer: _Trainer, console: Console
) -> list[Record]:
    """Train the runs of a sweep, or as many runs as a race needs, and return the records in the sweep's order."""
    if params.run_seeds is not None:
        # By default, MLflow's charts show only the latest 100 runs.
        # Train seed by seed, so that these runs soon include every scheduler.
        place = {seed: position for position, seed in enumerate(params.run_seeds)}
        by_name = {record.run.name: record for record in trainer(sorted(runs, key=lambda run: place[run.seed]))}
        return [by_name[run.name] for run in runs]
    auto = Auto(
        baseline=params.baseline,
        scale=scale(params.run_metric, params.run_margin, prepared.examples["test"]),
        budget=params.run_budget,
        train=trainer,
        score=partial(score, trainer.workers, DATA, MODELS),
        tell=partial(say, console),
    )
    return auto([run for run in runs if run.seed == runs[0].seed])
