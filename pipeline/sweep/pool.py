"""Worker processes: they import torch once for all, and are followed by others where they are killed.

The process that calls this imports no torch, and the workers nothing of MLflow.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import forkserver
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar

from pipeline.errors import ExternalError, UserError

if TYPE_CHECKING:
    from ctypes import c_longlong
    from multiprocessing.context import BaseContext

    import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = ["pipeline.training.evaluation", "pipeline.sweep.checkpoint", "torch._dynamo"]
"""What all workers need; this imports torch."""
THREADS = 4
"""Of a run, at the most: a batch is so small that the work of more would not be worth their waiting for each other."""
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
    # OpenMP's threads wait for each other by spinning, and beside a busy process that is most of what they do. Where
    # they soon give up, two threads still are 1.5 times as fast as one; beside a busy one 1.4 times slower, not ten.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    return context


class _Worker:
    """A process that works on one thing at a time; one that is killed is followed by another.

    Each has a pool of its own: a pool of several processes does not tell which of them was killed, and breaks whole.
    """

    def __init__(self, context: "BaseContext", device: str, number: int) -> None:
        self._context = context
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
    """``jobs`` processes. What they need is imported at once, while the caller does something else.

    A context manager: leaving it ends them, at once if it is left by an exception.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, jobs: int, device: str) -> None:
        self.jobs = jobs
        self._others = set(multiprocessing.active_children())
        self._device, self._context = device, _context()
        self._workers: list[_Worker] = []

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
        if not self._workers:  # not before they are needed: to start one waits until all is imported
            self._workers = [_Worker(self._context, self._device, number) for number in range(self.jobs)]
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


# What follows runs in the workers.

_wanted: str
_number: int
_epochs: "c_longlong"


def _start(device: str, number: int, epochs: "c_longlong") -> None:
    """Make this process a worker: it imports torch, has one thread, and ends when its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import pipeline.training.evaluation  # noqa: F401

    set_threads(1)
    global _wanted, _number, _epochs
    _wanted, _number, _epochs = device, number, epochs


def torch_version() -> str:
    import torch

    return str(torch.__version__)


def set_threads(wanted: int) -> None:
    """How many threads torch computes with from now on, but no more than pay."""
    import torch

    torch.set_num_threads(min(wanted, THREADS))


def count(epochs: int) -> None:
    """Tell the parent of ``epochs`` more."""
    _epochs.value += epochs


@contextmanager
def memory() -> Iterator[None]:
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
    return str(device())


@cache
def device() -> "torch.device":
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
