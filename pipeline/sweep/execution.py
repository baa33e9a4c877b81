"""Functions that use workers to check a sweep, and to train, score and evaluate its runs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.errors import UserError
from pipeline.runs import records
from pipeline.runs.metric import Figures
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.shutdown import defer_signals
from pipeline.sweep.cache import RunCache
from pipeline.sweep.display import Display
from pipeline.sweep.jobs import (
    Checked,
    CheckJob,
    EvaluateJob,
    Evaluation,
    Outcome,
    ScoreJob,
    Trained,
    TrainJob,
    partition,
)
from pipeline.sweep.pool import Workers, give_up
from pipeline.sweep.run_progress import RunProgress

CACHED_AT_ONCE = 64
"""Runs are looked up in the cache in batches of this size; the cached runs of a batch are logged together."""


def check(workers: Workers, data: Path, runs: Sequence[Run], warn: Callable[[str], None] = lambda line: None) -> int:
    """Check that the data, the network and the optimizers are compatible; return how many runs fit in a stack.

    All ``runs`` belong to the same task; ``warn`` prints a line for the user.

    Raises:
        UserError: the data, the network and the optimizers are not compatible.
    """
    first_runs = list({run.optimizer: run for run in reversed(runs)}.values())[::-1]
    checked: list[Checked] = [result for _, result in workers.map(CheckJob(data), first_runs)]
    for line in dict.fromkeys(line for result in checked for line in result.notes):
        warn(line)
    return min(result.stack_size for result in checked)


def score(workers: Workers, data: Path, models: Path, trained: Sequence[Record]) -> list[Figures]:
    """Return the test figures of each run in ``trained``, in order; the folder ``models`` contains the weights."""
    scores = _by_name(workers, ScoreJob(data, models), models, trained)
    return [scores[record.run.name] for record in trained]


def evaluate(workers: Workers, data: Path, models: Path, trained: Sequence[Record]) -> dict[str, Evaluation]:
    """Return the evaluations of trained runs, keyed by run name; the folder ``models`` contains their weights."""
    return _by_name(workers, EvaluateJob(data, models), models, trained)


def _by_name(
    workers: Workers, job: Callable[[tuple[Record, bytes]], Any], models: Path, trained: Sequence[Record]
) -> dict[str, Any]:
    """Call ``job`` with each trained run and its weights; return the results, keyed by run name."""
    results = workers.map(job, trained, sent=lambda record: (record, _weights(models, record)))
    return {record.run.name: result for record, result in results}


def _weights(models: Path, record: Record) -> bytes:
    """Return the weights of a trained run.

    Raises:
        UserError: the weights file cannot be read.
    """
    path = models / record.run.name / records.WEIGHTS
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: not the weights of this run ({error.strerror}); run `uv run dvc repro` again"
        ) from None


def train(
    workers: Workers,
    job: TrainJob,
    cache: RunCache,
    runs: Sequence[Run],
    stack_size: int,
    console: Console,
    warn: Callable[[str], None],
    failed: dict[str, str] | None = None,
    report: Callable[[Sequence[RunProgress]], None] = lambda reports: None,
) -> Iterator[Sequence[Trained]]:
    """Train ``runs`` in order; yield the cached runs first, and then the runs of each piece once it has ended.

    Args:
        workers: the workers that execute the job.
        job: the job that trains one piece of the sweep.
        cache: the run cache, which also writes to the models folder.
        runs: the runs to train, which must all belong to the same task.
        stack_size: the result of `check`.
        console: the console on which to show the progress.
        warn: prints a line about each kind of problem, such as a damaged checkpoint.
        failed: a dictionary that collects the reasons why runs could not be trained, keyed by run name. If it is
            None, an `ExternalError` is raised when a run cannot be trained.
        report: called about once a second with the progress of the runs that are being trained.
    """
    complained: set[str] = set()

    def complain(just_ended: Sequence[Trained]) -> None:
        for trained in just_ended:
            for complaint in trained.complaints:
                if complaint not in complained:
                    warn(f"{trained.record.run.name} {complaint}")
                complained.add(complaint)

    def kept(outcomes: Sequence[Outcome]) -> list[Trained]:
        with defer_signals():
            return [cache.put(outcome) for outcome in outcomes]

    def fail(piece: Sequence[Run], reason: str) -> None:
        if failed is None:
            give_up(piece, reason)
        failed.update({run.name: reason for run in piece})

    with Display(console, runs, workers.jobs) as display:
        fingerprints = {run.name: cache.fingerprint(run) for run in runs}
        not_cached: list[Run] = []
        for first in range(0, len(runs), CACHED_AT_ONCE):
            part = runs[first : first + CACHED_AT_ONCE]
            cached = {run.name: trained for run in part if (trained := cache.get(run, fingerprints[run.name]))}
            not_cached += [run for run in part if run.name not in cached]
            if cached:
                display.update([], [*cached.values()])
                yield [*cached.values()]
        updates = workers.work(
            job,
            partition(not_cached, workers.jobs, stack_size),
            failed=fail,
            split=lambda piece: [[run] for run in piece],
            sent=lambda piece: [(run, fingerprints[run.name]) for run in piece],
            kept=kept,
        )
        ended: set[str] = set()
        for update in updates:
            just_ended: Sequence[Trained] = update.result or ()
            ended |= {trained.record.run.name for trained in just_ended}
            # Progress reports are sent separately from results, so a report may arrive after the run has ended.
            reports = [run for run in update.reports if run.name in fingerprints and run.name not in ended]
            report(reports)
            display.update(update.running, just_ended, reports)
            complain(just_ended)
            if just_ended:
                yield just_ended
