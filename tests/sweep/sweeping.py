"""Train sweeps on the digits with real workers; the tests of `sweep` share this module."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from pipeline.runs.params import Run
from pipeline.sweep.cache import CHECKPOINTS, RunCache
from pipeline.sweep.execution import train
from pipeline.sweep.jobs import Trained, TrainJob
from pipeline.sweep.pool import Update, Workers
from tests.helpers.project import load

Result = TypeVar("Result")


def runs(epochs: Any = 2, **changes: Any) -> list[Run]:
    return load(**{"tasks__digits-mlp__epochs": epochs, **changes}).runs(examples=1077)


def results(updates: Iterable[Update[Any, Result]]) -> list[Result]:
    """Return the results that updates contain; updates without a result, which come every second, are ignored."""
    return [update.result for update in updates if update.result is not None]


def trained(
    workers: Workers,
    of: Sequence[Run],
    digits: Path,
    folder: Path,
    checkpoint_every: float = 5.0,
    stack_size: int = 16,
    threads: int = 1,
    warn: Callable[[str], None] = lambda line: None,
    failed: dict[str, str] | None = None,
    screen: Console | None = None,
) -> Iterator[Trained]:
    """Train runs; their files go to ``folder``/models, and the run cache is in ``folder``/cache."""
    job = TrainJob(digits, folder / "cache" / CHECKPOINTS, checkpoint_every, threads)
    cache = RunCache(digits, folder / "models", folder / "cache", workers.handshake())
    for ended in train(workers, job, cache, of, stack_size, screen or Console(quiet=True), warn, failed):
        yield from ended


def swept(of: list[Run], digits: Path, folder: Path, jobs: int = 1, checkpoint_every: float = 5.0) -> list[Trained]:
    """Train runs in newly started workers, and return what was trained."""
    with Workers(jobs, "cpu") as workers:
        return list(trained(workers, of, digits, folder, checkpoint_every))
