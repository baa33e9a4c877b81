"""Many runs: worker processes of one thread each, results as they come.

Torch is imported once for all workers, and nothing of MLflow; the process that calls this does not import it.
"""

import math
import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, Self, TypeVar

from pipeline import data, records
from pipeline.cache import CHECKPOINTS, RUNS, fingerprint, keep, take
from pipeline.data import Part
from pipeline.errors import DamagedError, ExternalError, UserError
from pipeline.params import Run
from pipeline.records import Record

if TYPE_CHECKING:
    from ctypes import c_longlong
    from multiprocessing.context import BaseContext

    import torch

    from pipeline.checkpoint import Checkpoint
    from pipeline.evaluation import Evaluation
    from pipeline.training import Training

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = ["pipeline.evaluation", "pipeline.checkpoint", "torch._dynamo"]
"""What all workers need; this imports torch."""
LARGEST = 16
"""Runs in a stack: with more, what they compute no longer stays in the processor's caches."""
ATTEMPTS = 2
"""How often a piece of work is begun whose worker is killed."""


@dataclass(frozen=True)
class Progress(Generic[Item, Result]):
    """Where a sweep is: what is being worked on and, where something has just been done, what came of it."""

    running: list[Item]
    epochs: int
    """How many epochs have been trained."""
    item: Item | None = None
    result: Result | None = None


def _context() -> "BaseContext":
    """Where processes come from: forks of one that has imported torch once, and has no threads for a fork to break."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


class _Worker:
    """A process that works on one thing at a time; one that is killed is followed by another.

    Each has a pool of its own: a pool of several processes does not tell which of them was killed, and breaks whole.
    """

    def __init__(self, device: str, number: int) -> None:
        self._context = _context()
        self._arguments = (device, number)
        self._before = self._settled = 0
        self._start()

    def _start(self) -> None:
        # Written by the worker alone, so that there is no lock for it to be killed with.
        self._counted = self._context.Value("q", 0, lock=False)
        arguments = (*self._arguments, self._counted)
        self._pool = ProcessPoolExecutor(1, self._context, initializer=_start, initargs=arguments)
        self.ready = self._pool.submit(_device_name)

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Have it call ``function``; a `BrokenProcessPool`, here or in the future, means that it was killed."""
        return self._pool.submit(function, item)

    def settle(self) -> None:
        """What it has counted is done, and will not be lost with it."""
        self._settled = self._counted.value

    @property
    def epochs(self) -> int:
        """How many it has trained."""
        return self._before + int(self._counted.value)

    def start_again(self) -> None:
        """Put another process in its place."""
        self._before, self._settled = self._before + self._settled, 0
        self.end()
        self._start()

    def end(self) -> None:
        """Let it end what it is at, and then itself."""
        self._pool.shutdown(cancel_futures=True)


def _give_up(item: Any, reason: str) -> NoReturn:
    raise ExternalError(f"{reason}; too little memory? try fewer --jobs")


class Workers:
    """``jobs`` processes; they start at once, while the caller does something else.

    A context manager: leaving it ends them, at once if it is left by an exception.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, jobs: int, device: str) -> None:
        self.jobs = jobs
        self._others = set(multiprocessing.active_children())
        self._workers = [_Worker(device, number) for number in range(jobs)]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        for worker in self._workers:
            worker.end()

    def kill(self) -> None:
        """End them at once, whatever they are at."""
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()
            process.join()

    def work(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        failed: Callable[[Item, str], None] = _give_up,
        split: Callable[[Item], Sequence[Item]] = lambda item: [item],
    ) -> Iterator[Progress[Item, Result]]:
        """Call ``function`` on each of ``items`` in the workers, and yield the results in the order they come.

        Without a result, it says every second where it is. What a worker is killed with, or has too little memory
        for, is tried once more, after all else.

        Args:
            function: what to call; it is pickled.
            items: each the argument of one call.
            failed: called with an item that was tried in vain, and why; by itself that is an `ExternalError`.
            split: the parts that an item is tried in once more.
        """
        for worker in self._workers:
            try:
                worker.ready.result()
            except BrokenProcessPool:
                raise ExternalError("a worker process was ended from outside while it started") from None
        waiting = deque((item, 1) for item in items)
        running: dict[_Worker, Item] = {}
        ended: SimpleQueue[tuple[_Worker, Item, int, Future[Result]]] = SimpleQueue()

        def feed(worker: _Worker) -> None:
            """Give a worker that is done the next at once, in the thread that learns of it first."""
            try:
                item, attempt = waiting.popleft()
            except IndexError:
                return
            running[worker] = item
            try:
                future = worker.submit(function, item)
            except BrokenProcessPool as error:  # it was killed before it had this
                future, attempt = Future(), attempt - 1
                future.set_exception(error)
            future.add_done_callback(lambda done: end(worker, item, attempt, done))

        def end(worker: _Worker, item: Item, attempt: int, future: Future[Result]) -> None:
            running.pop(worker)
            if not future.cancelled() and future.exception() is None:
                worker.settle()
                feed(worker)
            ended.put((worker, item, attempt, future))

        left = len(waiting)
        for worker in self._workers:
            feed(worker)
        while left > 0:
            try:
                worker, item, attempt, future = ended.get(timeout=1)
            except Empty:
                yield Progress([*running.values()], self._epochs())
                continue
            try:
                result = future.result()
            except (BrokenProcessPool, MemoryError) as error:
                if isinstance(error, BrokenProcessPool):
                    reason = "a worker process was ended from outside"
                    worker.start_again()
                else:
                    reason = str(error) or "out of memory"
                if attempt < ATTEMPTS:
                    parts = split(item)
                    waiting.extend((part, attempt + 1) for part in parts)
                    left += len(parts) - 1
                else:
                    left -= 1
                    failed(item, reason)
                feed(worker)
            else:
                left -= 1
                yield Progress([*running.values()], self._epochs(), item, result)

    def _epochs(self) -> int:
        return sum(worker.epochs for worker in self._workers)


@dataclass(frozen=True)
class Trained:
    """What came of a run, and how."""

    record: Record
    origin: Literal["trained", "resumed", "cached"]
    """Trained from its start, or from a checkpoint on; or trained before."""
    seconds: float = 0.0
    """What it took now."""
    complaints: tuple[str, ...] = ()
    """What was wrong with the cache and the checkpoints."""


@dataclass
class _Begun:
    """A run that is being trained."""

    mark: str
    training: "Training"
    checkpoint: "Checkpoint"
    complaints: list[str]
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    """What it took before it was stopped."""
    resumed: bool = False

    def save(self, seconds: float) -> None:
        """Save where it is, ``seconds`` after it was begun, or begun again."""
        if not self.training.over:
            state = {"started": self.started, "seconds": self.seconds + seconds}
            self.checkpoint.save({"training": self.training.state(), **state})


def stacked(runs: Sequence[Run], jobs: int, small: bool) -> list[Sequence[Run]]:
    """The pieces of work that a sweep is made of, in the order of its runs.

    Args:
        runs: of one task.
        jobs: how many workers there are, which should have as much to do.
        small: whether such runs are trained in stacks; without, each piece is one run.
    """
    parts = math.ceil(math.ceil(len(runs) / LARGEST) / jobs) * jobs
    parts = min(len(runs), parts) if small else len(runs)
    return [runs[len(runs) * part // parts : len(runs) * (part + 1) // parts] for part in range(parts)]


@dataclass(frozen=True)
class Train:
    """Train runs on the data in one folder and leave their records and weights in another. For `Workers.work`.

    Several runs at once are one of what `stacked` answers.
    """

    data: Path
    models: Path
    cache: Path
    """Where runs are kept that need not be trained again, and checkpoints of those that have not ended."""
    every: float = 5.0
    """Seconds between two checkpoints, at the least."""

    def __call__(self, runs: Sequence[Run]) -> list[Trained]:
        done: list[Trained] = []
        places: dict[tuple[int, int], list[_Begun]] = {}
        with _memory():
            for run in runs:
                begun = self._begin(run)
                if isinstance(begun, Trained):
                    done.append(begun)
                else:
                    places.setdefault(begun.training.place, []).append(begun)
            for together in places.values():
                done += self._train(together)
        return done

    def _begin(self, run: Run) -> "Trained | _Begun":
        """Take a run from the cache; or make ready to train it, from its checkpoint on if there is one."""
        from pipeline.checkpoint import Checkpoint
        from pipeline.training import Training

        mark = self.mark(run)
        complaints = []
        try:
            if record := take(self.cache / RUNS / mark, run, self.models):
                _count(run.epochs)
                return Trained(record, "cached")
        except DamagedError as damage:
            complaints.append(f"is trained again, as the run cache is damaged: {damage}")
        train, _ = self._parts(run)
        training = Training(run, data.summary(self.data), _device(), train.vectors)
        begun = _Begun(mark, training, Checkpoint(self.cache / CHECKPOINTS / mark), complaints)
        try:
            if state := begun.checkpoint.load():
                training.go_on_from(state["training"])
                begun.resumed, begun.started, begun.seconds = True, state["started"], state["seconds"]
        except DamagedError as damage:
            complaints.append(f"is trained from its start, as its checkpoint is damaged: {damage}")
        return begun

    def _train(self, together: "list[_Begun]") -> list[Trained]:
        from safetensors.torch import save

        from pipeline.checkpoint import Pace
        from pipeline.training import train

        pace, clock = Pace(self.every), time.perf_counter()

        def share() -> float:
            return (time.perf_counter() - clock) / len(together)

        def between() -> None:
            if pace.due():
                with pace.saving():
                    for each in together:
                        try:
                            each.save(share())
                        except OSError as error:
                            pace.cease()
                            each.complaints.append(f"has no checkpoint: {error.strerror}")
                            break

        counted = {}
        for each in together:
            recorded = each.training.recorded
            counted[each.training.run.name] = recorded[-1].epoch if recorded else 0
            _count(counted[each.training.run.name])
        parts = self._parts(together[0].training.run)
        for training, epoch in train([each.training for each in together], *parts, between):
            _count(epoch.epoch - counted[training.run.name])
            counted[training.run.name] = epoch.epoch
        seconds, done = share(), []
        for each in together:
            training, run = each.training, each.training.run
            _count(run.epochs - counted[run.name])  # those that a diverged run spares
            diverged = training.recorded[-1].diverged
            record = Record(
                run=run,
                outcome="diverged" if diverged else "dead" if training.dead(parts[1]) else "finished",
                epochs=training.recorded,
                started=each.started,
                seconds=each.seconds + seconds,
                device=str(_device()),
                torch=_torch(),
                fingerprint=each.mark,
            )
            weights = save({name: tensor.cpu().contiguous() for name, tensor in training.model.state_dict().items()})
            # Into the cache first: what is finished is kept, even if this process is killed in the next moment.
            try:
                keep(self.cache / RUNS / each.mark, record, weights)
            except OSError as error:
                each.complaints.append(f"is not kept in the run cache: {error.strerror}")
            records.write(self.models / run.name, record, weights)
            each.checkpoint.remove()
            done.append(Trained(record, "resumed" if each.resumed else "trained", seconds, tuple(each.complaints)))
        return done

    def mark(self, run: Run) -> str:
        """The fingerprint of a run on the data and in the workers at hand."""
        return fingerprint(run, data.summary(self.data), _device().type, _torch())

    def check(self, run: Run) -> bool:
        """Build what trains a run, and let it answer an example; whether runs like it are trained in stacks.

        Raises:
            UserError: data and network do not fit together.
        """
        from pipeline.training import Training, small

        with _memory():
            train, val = self._parts(run)
            training = Training(run, data.summary(self.data), _device(), train.vectors)
            training.check(val)
            return small(training)

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
        with _memory():
            test = _part(self.data, "test", run.max_length)
            vectors = _part(self.data, "train", run.max_length).vectors if run.dataset.get("vectors") else None
            return evaluate(record, folder, data.summary(self.data), test, vectors, _device())


# What follows runs in the workers.

_part = lru_cache(maxsize=None)(data.read)
_wanted: str
_number: int
_epochs: "c_longlong"


def _start(device: str, number: int, epochs: "c_longlong") -> None:
    """Make this process a worker: it imports torch, has one thread, and ends when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    import pipeline.evaluation  # noqa: F401

    torch.set_num_threads(1)
    global _wanted, _number, _epochs
    _wanted, _number, _epochs = device, number, epochs


def _torch() -> str:
    import torch

    return str(torch.__version__)


def _count(epochs: int) -> None:
    """Tell the parent of ``epochs`` more."""
    _epochs.value += epochs


@contextmanager
def _memory() -> Iterator[None]:
    """Make a MemoryError of what torch raises where there is too little memory."""
    try:
        yield
    except RuntimeError as error:
        line = str(error).splitlines()[0] if str(error) else ""
        if "allocate" not in line and "out of memory" not in line:
            raise
        raise MemoryError(f"out of memory ({line[:200]})") from None


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
