"""Range tests, which the workers run to find the stable base rates of each optimizer in a sweep."""

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
"""The folder in the run cache that holds the losses of range tests."""
CODE = "pipeline.training.range_test"
SHARE = 0.02
"""The maximum number of batches in range tests, as a fraction of the number of batches in the sweep itself."""


@dataclass(frozen=True)
class RangeJob:
    """A job that runs range tests: it trains each run for one step at each rate."""

    data: Path
    rates: tuple[float, ...]
    threads: int = 1
    """The number of cores that a worker may use."""

    def __call__(self, runs: Sequence[Run]) -> list[list[float]]:
        """For each run, return the loss at the start and the loss after the step at each rate."""
        from pipeline.training.determinism import use_threads
        from pipeline.training.range_test import range_test
        from pipeline.training.state import Training
        from pipeline.training.training_set import read_splits

        summary = datasets.summary(self.data)
        with memory_errors():
            train, _ = read_splits(self.data, runs[0].workload)
            training = [Training(run, summary, device(), train.vectors) for run in runs]
            use_threads(self.threads, training[0].workload, training[0].network)
            return range_test(training, train, self.rates)

    def file(self, runs: Sequence[Run], folder: Path, handshake: Handshake) -> Path:
        """Return the cache file for the losses; the file's name is a digest of everything that affects them."""
        code, summary = code_digest(frozenset([CODE])), datasets.summary(self.data)
        content = [code, self.rates, [fingerprint(run, summary, handshake.device, handshake.torch) for run in runs]]
        return folder / RANGES / f"{hashlib.sha256(json.dumps(content).encode()).hexdigest()}.json"

    def read(self, file: Path, runs: int) -> list[list[float]] | None:
        """Return the losses in ``file``, or None if the file does not contain the losses of exactly ``runs`` runs."""
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            losses = [[float(loss) for loss in of_run] for of_run in content]
        except (OSError, ValueError, TypeError):
            return None
        return losses if [len(of_run) for of_run in losses] == [1 + len(self.rates)] * runs else None


def is_cheap(runs: Sequence[Run], least: int, stack_size: int) -> bool:
    """Return True if range tests take little time or add at most 2% to the sweep's number of batches.

    If ``stack_size`` is more than one, the network is small, and a range test takes about a quarter of a second.
    ``least`` is the minimum number of runs in the sweep.
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
    """Run a range test for each optimizer that uses the rate in every step, and return the tests.

    The tests are in the order of their optimizers in ``runs``. Each optimizer is tested with each of ``seeds``. A
    worker tests up to ``stack_size`` runs together. If the folder of the run cache is given as ``cache``, known losses
    are read from it and new losses are stored in it.
    """
    following = [run for run in runs if run.workload.optimizer.follows_rate]
    optimizers = list({run.optimizer: run for run in reversed(following)}.values())[::-1]
    tested = {run.optimizer: [_tested(run, seed) for seed in seeds] for run in optimizers}
    losses: dict[str, list[float]] = {}
    missing: list[list[Run]] = []
    for of_optimizer in tested.values():
        for first in range(0, len(of_optimizer), stack_size):
            piece = of_optimizer[first : first + stack_size]
            known = job.read(job.file(piece, cache, workers.handshake()), len(piece)) if cache else None
            if known is None:
                missing.append(piece)
            else:
                losses |= dict(zip([run.name for run in piece], known, strict=True))
    for piece, of_piece in workers.map(job, missing):
        losses |= dict(zip([run.name for run in piece], of_piece, strict=True))
        if cache:
            with suppress(OSError):  # without the file, the next sweep repeats the test
                write_text(job.file(piece, cache, workers.handshake()), json.dumps(of_piece) + "\n")
    return [
        RangeTest(optimizer, job.rates, [losses[run.name] for run in of_optimizer])
        for optimizer, of_optimizer in tested.items()
    ]


def _tested(run: Run, seed: int) -> Run:
    """Return ``run`` with the given seed, a single epoch and a constant schedule.

    A range test sets the rates itself. The schedule is constant because other schedules may change rates and momenta
    when they are built.
    """
    constant = REGISTRY["Constant"].model_validate({"class": "Constant"})
    changes = {"name": f"{run.optimizer}-s{seed}", "schedule": constant, "seed": seed}
    workload = run.workload.model_copy(update={"record_every": 1})
    return run.model_copy(update=changes | {"lr": stability.LOWEST, "epochs": 1, "workload": workload})
