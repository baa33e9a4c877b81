"""Range tests in the workers: which base rates are stable, under each optimizer of a sweep."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pipeline import datasets
from pipeline.comparison import stability
from pipeline.comparison.stability import SEEDS, STEPS, RangeTest
from pipeline.files import write_text
from pipeline.runs.fingerprint import code_digest, fingerprint
from pipeline.runs.params import Run
from pipeline.schedules import REGISTRY
from pipeline.sweep.engines import Handshake
from pipeline.sweep.pool import Workers
from pipeline.sweep.worker import device, memory_errors

RANGES = "ranges"
"""Folder of the run cache with the losses of range tests."""
CODE = "pipeline.training.range_test"
SHARE = 0.02
"""Range tests may cost this share of a sweep's batches."""


@dataclass(frozen=True)
class RangeJob:
    """Train runs as a range test does, and return the losses of each. For `Workers.work`."""

    data: Path
    rates: tuple[float, ...]
    threads: int = 1
    """Cores that there are for a run."""

    def __call__(self, runs: Sequence[Run]) -> list[list[float]]:
        """Return the losses of each run: at the start, and after each rate."""
        from pipeline.training.determinism import use_threads
        from pipeline.training.range_test import range_test
        from pipeline.training.state import Training
        from pipeline.training.training_set import read_splits

        summary = datasets.summary(self.data)
        with memory_errors():
            train, _ = read_splits(self.data, runs[0].workload)
            training = [Training(run, summary, device(), train.vectors) for run in runs]
            use_threads(self.threads, runs[0].workload, training[0].network)
            return range_test(training, train, self.rates)

    def kept(self, runs: Sequence[Run], folder: Path, trains: Handshake) -> Path:
        """Return the file of a run cache that has the losses, or will; its name covers all that they depend on.

        Args:
            runs: that are tested together.
            folder: of the run cache.
            trains: what the workers say of themselves.
        """
        code, summary = code_digest(frozenset([CODE])), datasets.summary(self.data)
        content = [code, self.rates, [fingerprint(run, summary, trains.device, trains.torch) for run in runs]]
        return folder / RANGES / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()}.json"

    def read(self, file: Path, runs: int) -> list[list[float]] | None:
        """Return the losses that a file has; None if there is none, or it is damaged."""
        try:
            losses = [[float(loss) for loss in each] for each in json.loads(file.read_text(encoding="utf-8"))]
        except (OSError, ValueError, TypeError):
            return None
        return losses if [len(each) for each in losses] == [1 + len(self.rates)] * runs else None


def is_cheap(runs: Sequence[Run], least: int, stack_size: int) -> bool:
    """Return True if range tests of a sweep cost next to nothing: a quarter of a second each, or 2% of the sweep.

    Args:
        runs: of the sweep.
        least: the fewest runs that it will train.
        stack_size: how many of its runs make a stack; more than one if its networks are so small that a test is short.
    """
    batches = len({run.optimizer for run in runs}) * len(SEEDS) * STEPS
    return stack_size > 1 or batches <= SHARE * least * runs[0].epochs * runs[0].batches


def range_tests(
    workers: Workers,
    job: RangeJob,
    runs: Sequence[Run],
    stack_size: int,
    seeds: Sequence[int] = SEEDS,
    cache: Path | None = None,
) -> list[RangeTest]:
    """Test each optimizer of a sweep that follows the rate, and return the tests in the sweep's order.

    Args:
        workers: where.
        job: what each of them does.
        runs: of one task.
        stack_size: how many such runs make a stack.
        seeds: of each test.
        cache: the folder of the run cache, where losses are kept; None: neither read nor written.
    """
    follow = [run for run in runs if run.workload.optimizer.follows_rate]
    optimizers = list({run.optimizer: run for run in reversed(follow)}.values())[::-1]
    wanted = {each.optimizer: [_tested(each, seed) for seed in seeds] for each in optimizers}
    pieces = [of[at : at + stack_size] for of in wanted.values() for at in range(0, len(of), stack_size)]
    losses: dict[str, list[float]] = {}
    lacking: list[list[Run]] = []
    for piece in pieces:
        known = job.read(job.kept(piece, cache, workers.handshake()), len(piece)) if cache else None
        if known is None:
            lacking.append(piece)
        else:
            losses |= dict(zip([run.name for run in piece], known, strict=True))
    for step in workers.work(job, lacking):
        if step.item is not None and step.result is not None:
            losses |= dict(zip([run.name for run in step.item], step.result, strict=True))
            if cache:
                with suppress(OSError):  # without it the test is done again, no more
                    write_text(job.kept(step.item, cache, workers.handshake()), json.dumps(step.result) + "\n")
    return [RangeTest(optimizer, job.rates, [losses[run.name] for run in of]) for optimizer, of in wanted.items()]


def _tested(run: Run, seed: int) -> Run:
    """Return a run with the initial weights and the batches of ``run``, but without what its schedule changes.

    A schedule may set rates and momenta as it is built, and a test has its own rates, whatever the run's length.
    """
    constant = REGISTRY["Constant"].model_validate({"class": "Constant"})
    changes = {"name": f"{run.optimizer}-s{seed}", "schedule": constant, "seed": seed}
    workload = run.workload.model_copy(update={"record_every": 1})
    return run.model_copy(update=changes | {"lr": stability.LOWEST, "epochs": 1, "workload": workload})
