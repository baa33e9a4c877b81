"""Train a sweep in the workers, and show how far it is."""

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from pipeline.runs.metric import Figures
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.shutdown import defer_signals
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
from pipeline.sweep.keeping import Keeper, weights
from pipeline.sweep.news import News
from pipeline.sweep.pool import Workers
from pipeline.sweep.progress import Display

SENT_AT_ONCE = 64_000_000
"""Bytes of weights that go to a worker together, if there are as few as that."""
TAKEN_AT_ONCE = 64
"""Runs that are taken from the cache, and logged, together."""


def check(workers: Workers, data: Path, runs: Sequence[Run], warn: Callable[[str], None] = lambda line: None) -> int:
    """Check that data, network and optimizers fit together, and return how many such runs make a stack.

    Args:
        workers: where.
        data: the folder of the prepared data.
        runs: of one task, alike in all that is looked at but the optimizer.
        warn: called with each line that the user should know of.

    Raises:
        UserError: they do not.
    """
    of_each = list({run.optimizer: run for run in reversed(runs)}.values())[::-1]
    steps = workers.work(CheckJob(data), of_each)
    found: list[Checked] = [step.result for step in steps if step.result is not None]
    for line in dict.fromkeys(line for each in found for line in each.notes):
        warn(line)
    return min(each.stack_size for each in found)


def score(workers: Workers, data: Path, models: Path, trained: Sequence[Record]) -> list[Figures]:
    """Score trained runs in ``models`` on the test split, in the same order."""

    def sent(part: Sequence[Record]) -> list[tuple[Record, bytes]]:
        return [(record, weights(models, record)) for record in part]

    of_run: dict[str, Figures] = {}
    for step in workers.work(ScoreJob(data, models), _parts(workers, models, trained), sent=sent):
        if step.item is not None and step.result is not None:
            of_run |= dict(zip([record.run.name for record in step.item], step.result, strict=True))
    return [of_run[record.run.name] for record in trained]


def _parts(workers: Workers, models: Path, trained: Sequence[Record]) -> list[list[Record]]:
    """Divide runs into parts, one for each worker; those with large weights into more, as weights go with a part."""
    if not trained:
        return []
    size = max(1, len(weights(models, trained[0])))
    length = max(1, min(math.ceil(len(trained) / workers.jobs), SENT_AT_ONCE // size))
    return [[*trained[first : first + length]] for first in range(0, len(trained), length)]


def evaluate(workers: Workers, data: Path, models: Path, trained: Sequence[Record]) -> dict[str, Evaluation]:
    """Evaluate the runs in ``models``; by their names."""
    steps = workers.work(EvaluateJob(data, models), trained, sent=lambda record: (record, weights(models, record)))
    return {step.item.run.name: step.result for step in steps if step.item is not None and step.result is not None}


def train(
    workers: Workers,
    job: TrainJob,
    keeper: Keeper,
    runs: Sequence[Run],
    stack_size: int,
    console: Console,
    warn: Callable[[str], None],
    failed: dict[str, str] | None = None,
    tell: Callable[[Sequence[News]], None] = lambda news: None,
) -> Iterator[Sequence[Trained]]:
    """Train ``runs``, and yield those that end together, in the order they end; first those that the cache has.

    Args:
        workers: where.
        job: what each of them does.
        keeper: of the cache and the folder of models.
        runs: of one task, in the order in which they are begun.
        stack_size: what `check` has returned of them.
        console: where to show how far it is.
        warn: called with one line for each kind of fault of the run cache.
        failed: filled with the names of runs that could not be trained, and why; None: the first is an `ExternalError`.
        tell: called about every second with news of the runs that are being trained.
    """
    told: set[str] = set()

    def complain(done: Trained) -> None:
        for complaint in done.complaints:
            if complaint not in told:
                warn(f"{done.record.run.name} {complaint}")
            told.add(complaint)

    def fail(piece: Sequence[Run], reason: str) -> None:
        assert failed is not None
        failed.update({run.name: reason for run in piece})

    def kept(outcomes: Sequence[Outcome]) -> list[Trained]:
        with defer_signals():
            return [keeper.keep(outcome) for outcome in outcomes]

    options = {} if failed is None else {"failed": fail}
    with Display(console, runs, workers.jobs) as display:
        epochs, lacking = 0, list[Run]()
        identities = {run.name: keeper.fingerprint(run) for run in runs}
        for first in range(0, len(runs), TAKEN_AT_ONCE):
            taken = []
            for run in runs[first : first + TAKEN_AT_ONCE]:
                if done := keeper.take(run, identities[run.name]):
                    taken.append(done)
                    epochs += run.epochs
                    display.update([], epochs, done.record, cached=True)
                else:
                    lacking.append(run)
            if taken:
                yield taken
        pieces = partition(lacking, workers.jobs, stack_size)
        steps = workers.work(
            job,
            pieces,
            split=lambda piece: [[run] for run in piece],
            sent=lambda piece: [(run, identities[run.name]) for run in piece],
            kept=kept,
            **options,
        )
        before = workers.epochs
        ended: set[str] = set()
        for step in steps:
            # From a cluster, news come on a way of their own, and may be late.
            news = [each for each in step.news if each.name in identities and each.name not in ended]
            tell(news)
            now = epochs + step.epochs - before
            display.update(step.running, now, news=news)
            for done in step.result or ():
                ended.add(done.record.run.name)
                display.update(step.running, now, done.record, done.timing.seconds)
                complain(done)
            if step.result:
                yield step.result
