"""Train sweeps of the digits with real workers: what several tests of the sweep's rooms do."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pipeline.params import Run
from pipeline.sweep.jobs import Trained, TrainJob, partition
from pipeline.sweep.pool import Progress, Workers
from tests.conftest import load

Result = TypeVar("Result")


def runs(epochs: Any = 2, **changes: Any) -> list[Run]:
    return load(**{"tasks__digits-mlp__epochs": epochs, **changes}).runs(examples=1077)


def results(steps: Iterable[Progress[Any, Result]]) -> list[Result]:
    """The results of a sweep; on a busy machine it also tells, every second, that nothing has ended."""
    return [step.result for step in steps if step.result is not None]


def swept(of: list[Run], digits: Path, folder: Path, jobs: int = 1, checkpoint_every: float = 5.0) -> list[Trained]:
    """Train runs into ``folder``/models, with the cache in ``folder``/cache."""
    job = TrainJob(digits, folder / "models", folder / "cache", checkpoint_every)
    with Workers(jobs, "cpu") as workers:
        steps = list(workers.work(job, partition(of, jobs, stack_size=16)))
    assert steps[-1].epochs == sum(run.epochs for run in of)
    return [done for step in steps for done in step.result or ()]
