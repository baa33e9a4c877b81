"""Train a sweep in the workers, and show how far it is."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from pipeline.params import Run
from pipeline.records import Record, Score
from pipeline.sweep.jobs import CheckJob, ScoreJob, Trained, TrainJob, partition
from pipeline.sweep.news import News
from pipeline.sweep.pool import Workers
from pipeline.sweep.progress import Display


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
    found = [step.result for step in workers.work(CheckJob(data), of_each) if step.result is not None]
    for line in dict.fromkeys(line for each in found for line in each.notes):
        warn(line)
    return min(each.stack_size for each in found)


def score(workers: Workers, data: Path, models: Path, trained: Sequence[Record]) -> list[Score]:
    """Score trained runs in ``models`` on the test split, in the same order."""
    parts = [trained[part :: workers.jobs] for part in range(workers.jobs)]
    of_run: dict[str, Score] = {}
    for step in workers.work(ScoreJob(data, models), [part for part in parts if part]):
        if step.item is not None and step.result is not None:
            of_run |= dict(zip([record.run.name for record in step.item], step.result, strict=True))
    return [of_run[record.run.name] for record in trained]


def train(
    workers: Workers,
    job: TrainJob,
    runs: Sequence[Run],
    stack_size: int,
    console: Console,
    warn: Callable[[str], None],
    failed: dict[str, str] | None = None,
    tell: Callable[[Sequence[News]], None] = lambda news: None,
) -> Iterator[Sequence[Trained]]:
    """Train ``runs``, and yield those that end together, in the order they end.

    Args:
        workers: where.
        job: what each of them does.
        runs: of one task, in the order in which they are begun.
        stack_size: what `check` has returned of them.
        console: where to show how far it is.
        warn: called with one line for each kind of fault of the run cache.
        failed: filled with the names of runs that could not be trained, and why; None: the first is an `ExternalError`.
        tell: called about every second with news of the runs that are being trained.
    """
    told: set[str] = set()

    def fail(piece: Sequence[Run], reason: str) -> None:
        assert failed is not None
        failed.update({run.name: reason for run in piece})

    options = {} if failed is None else {"failed": fail}
    pieces = partition(runs, workers.jobs, stack_size)
    with Display(console, runs, workers.jobs) as display:
        for step in workers.work(job, pieces, split=lambda piece: [[run] for run in piece], **options):
            tell(step.news)
            display.update(step.running, step.epochs, news=step.news)
            for done in step.result or ():
                cached = done.origin == "cached"
                display.update(step.running, step.epochs, done.record, done.timing.seconds, cached)
                for complaint in done.complaints:
                    if complaint not in told:
                        warn(f"{done.record.run.name} {complaint}")
                    told.add(complaint)
            if step.result:
                yield step.result
