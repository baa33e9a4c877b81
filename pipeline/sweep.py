"""Many runs: worker processes of one thread each, results as they come.

A worker imports torch once, and nothing of MLflow; this module imports torch nowhere but in a worker.
"""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from pipeline import data, records
from pipeline.cache import DamagedError, fingerprint, keep, take
from pipeline.data import Part
from pipeline.errors import ExternalError, UserError
from pipeline.params import Run
from pipeline.records import Record

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

    import torch

    from pipeline.evaluation import Evaluation

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Progress(Generic[Item, Result]):
    """Where a sweep is: what is being worked on and, where something has just been done, what came of it."""

    running: list[Item]
    epochs: int
    """How many epochs have been trained."""
    item: Item | None = None
    result: Result | None = None


class Workers:
    """A pool of ``jobs`` processes; they start to import torch at once, while the caller does something else.

    A context manager: leaving it ends them, at once if it is left by an exception.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, jobs: int, device: str) -> None:
        context = multiprocessing.get_context("spawn")  # a fork of a process with threads may hang
        self.jobs = jobs
        self._others = set(multiprocessing.active_children())
        self._epochs = context.Value("q", 0)
        workers = context.Value("i", 0)
        self._pool = ProcessPoolExecutor(jobs, context, initializer=_start, initargs=(device, workers, self._epochs))
        self._ready = [self._pool.submit(_device_name) for _ in range(jobs)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for process in set(multiprocessing.active_children()) - self._others:
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def work(self, function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Progress[Item, Result]]:
        """Call ``function`` on each of ``items`` in the workers, and yield the results in the order they come.

        Without a result, it says every second where it is.

        Raises:
            ExternalError: a worker process was ended from outside.
        """
        waiting = deque(items)
        handed: dict[Future[Result], Item] = {}
        try:
            for start in self._ready:
                start.result()
            while waiting or handed:
                # A worker that is done has the next at hand, whatever the caller does with the results meanwhile.
                while waiting and len(handed) < 2 * self.jobs:
                    item = waiting.popleft()
                    handed[self._pool.submit(function, item)] = item
                done, _ = wait(handed, timeout=1, return_when=FIRST_COMPLETED)
                finished = [(handed.pop(future), future.result()) for future in done]
                running = list(handed.values())[: self.jobs]  # the pool takes them in order
                yield Progress(running, self._epochs.value)
                for item, result in finished:
                    yield Progress(running, self._epochs.value, item, result)
        except BrokenProcessPool:
            raise ExternalError("a worker process was ended from outside; out of memory? try fewer --jobs") from None


@dataclass(frozen=True)
class Trained:
    """What came of a run, and how."""

    record: Record
    cached: bool
    """Whether it had been trained before."""
    complaint: str | None
    """What was wrong with the cache."""


@dataclass(frozen=True)
class Train:
    """Train a run on the data in one folder and leave its record and weights in another. For `Workers.work`."""

    data: Path
    models: Path
    cache: Path
    """Where runs are kept that need not be trained again."""

    def __call__(self, run: Run) -> Trained:
        import torch

        version = str(torch.__version__)
        mark = fingerprint(run, data.summary(self.data), _device().type, version)
        complaint = None
        try:
            if record := take(self.cache / mark, run, self.models):
                _trained(run.epochs)
                return Trained(record, True, None)
        except DamagedError as damage:
            complaint = f"{run.name} is trained again, as the run cache is damaged: {damage}"
        record = self._train(run, version, mark)
        try:
            keep(self.cache / mark, self.models / run.name)
        except OSError as error:
            complaint = f"{run.name} is not kept in the run cache: {error.filename}: {error.strerror}"
        return Trained(record, False, complaint)

    def _train(self, run: Run, version: str, mark: str) -> Record:
        from safetensors.torch import save

        from pipeline.training import Training

        started, clock = time.time(), time.perf_counter()
        train, val = self._parts(run)
        training = Training(run, data.summary(self.data), _device(), train.vectors)
        epochs = []
        done = 0
        for epoch in training.epochs(train, val):
            epochs.append(epoch)
            _trained(epoch.epoch - done)
            done = epoch.epoch
        _trained(run.epochs - done)  # those that a diverged run spares
        record = Record(
            run=run,
            outcome="diverged" if epochs[-1].diverged else "dead" if training.dead(val) else "finished",
            epochs=epochs,
            started=started,
            seconds=time.perf_counter() - clock,
            device=str(_device()),
            torch=version,
            fingerprint=mark,
        )
        weights = {name: tensor.cpu().contiguous() for name, tensor in training.model.state_dict().items()}
        records.write(self.models / run.name, record, save(weights))
        return record

    def check(self, run: Run) -> None:
        """Build what trains a run, and let it answer an example.

        Raises:
            UserError: data and network do not fit together.
        """
        from pipeline.training import Training

        train, val = self._parts(run)
        Training(run, data.summary(self.data), _device(), train.vectors).check(val)

    def _parts(self, run: Run) -> tuple[Part, Part]:
        train = _part(self.data, "train", run.max_length, run.train_subset)
        return train, _part(self.data, "val", run.max_length)


@dataclass(frozen=True)
class Evaluate:
    """Score a trained run on the test set. For `Workers.work`."""

    data: Path
    models: Path

    def __call__(self, record: Record) -> "Evaluation":
        from pipeline.evaluation import evaluate

        run, folder = record.run, self.models / record.run.name
        test = _part(self.data, "test", run.max_length)
        vectors = _part(self.data, "train", run.max_length).vectors if run.dataset.get("vectors") else None
        return evaluate(record, folder, data.summary(self.data), test, vectors, _device())


# What follows runs in the workers.

_part = lru_cache(maxsize=None)(data.read)
_wanted: str
_number: int
_epochs: "Synchronized[int]"


def _trained(epochs: int) -> None:
    """Tell the parent of ``epochs`` more."""
    with _epochs.get_lock():
        _epochs.value += epochs


def _start(device: str, started: "Synchronized[int]", epochs: "Synchronized[int]") -> None:
    """Make this process a worker: it imports torch, has one thread, and ends when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    import pipeline.evaluation  # noqa: F401

    torch.set_num_threads(1)
    global _wanted, _number, _epochs
    _wanted, _epochs = device, epochs
    with started.get_lock():
        _number = started.value
        started.value += 1


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _device_name() -> str:
    """For the parent, which would import torch to receive the device itself."""
    return str(_device())


@cache
def _device() -> "torch.device":
    """The device of this worker; several GPUs are dealt out in turn.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    kind = ("cuda" if torch.cuda.is_available() else "cpu") if _wanted == "auto" else _wanted
    try:
        if kind == "cuda":
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # without it cuBLAS is not deterministic
            torch.use_deterministic_algorithms(True)  # one thread on a CPU is so anyway, and this imports for 1.4 s
            return torch.device("cuda", _number % torch.cuda.device_count())
        torch.zeros(1, device=kind)
        return torch.device(kind)
    except (RuntimeError, AssertionError, ZeroDivisionError):
        raise UserError(f"--device {kind}: there is none here; allowed: auto, cpu, cuda, cuda:0, mps ...") from None
