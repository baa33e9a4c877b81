"""An engine whose only worker is a thread of this process, which starts at once, unlike a worker process.

Jobs and results are pickled, as if they were sent to another process.
"""

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from pipeline.runs.params import Run
from pipeline.stages.common import Machine
from pipeline.sweep import worker
from pipeline.sweep.checkpoint import Checkpoint
from pipeline.sweep.engines import Handshake
from pipeline.sweep.pool import Workers
from pipeline.sweep.run_progress import RunProgress
from pipeline.training import training_set

Item = TypeVar("Item")
Result = TypeVar("Result")


@cache
def thread() -> ThreadPoolExecutor:
    """Return the thread that all engines of this process share."""
    return ThreadPoolExecutor(1)


class InlineSlot:
    """The thread as a slot of the engine; also the coordinator that its jobs report to."""

    where = "this process"

    def __init__(self) -> None:
        self.ready: Future[Handshake] = thread().submit(self._begin)
        self.reports: list[RunProgress] = []
        self._submitted: list[Future[Any]] = [self.ready]

    def _begin(self) -> Handshake:
        training_set.read_once.cache_clear()  # a new worker process would not have read the data yet
        worker.begin("cpu", 0, self)
        return worker.handshake()

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Call ``function`` in the thread."""
        work = pickle.dumps((function, item))
        future = thread().submit(_done, work)
        self._submitted.append(future)
        return future

    def report(self, runs: Sequence[RunProgress]) -> None:
        """Store progress reports from a job."""
        self.reports += runs

    def checkpoint(self, path: Path) -> Checkpoint:
        """Return the checkpoint stored at ``path``."""
        return Checkpoint(path)

    def stop(self) -> None:
        """Wait for jobs that have begun, and cancel the others."""
        for future in self._submitted:
            future.cancel()
        wait(self._submitted)


def _done(work: bytes) -> Any:
    function, item = pickle.loads(work)
    try:
        return pickle.loads(pickle.dumps(function(item)))
    except Exception as error:
        pickle.loads(pickle.dumps(error))  # a worker process would have to send the error
        raise


class Inline:
    """An engine with one slot."""

    room = limit = 1

    def __init__(self) -> None:
        self._slots: list[InlineSlot] = []

    def start_slot(self) -> InlineSlot:
        """Start the slot."""
        self._slots.append(InlineSlot())
        return self._slots[-1]

    def remove(self, slot: InlineSlot) -> None:
        """Do nothing, because a thread cannot be lost."""

    def reports(self) -> list[RunProgress]:
        """Return the progress reports that have arrived since the last call."""
        reports = [report for slot in self._slots for report in slot.reports]
        for slot in self._slots:
            slot.reports.clear()
        return reports

    def check(self) -> None:
        """Do nothing, because this process is alive."""

    def kill(self) -> None:
        """Wait for jobs that have begun."""
        self.end()

    def end(self) -> None:
        """Wait for jobs that have begun."""
        for slot in self._slots:
            slot.stop()


@dataclass(frozen=True)
class InlineMachine(Machine):
    """The machine for a command whose only worker is a thread of this process."""

    jobs: int | None = 1

    def workers(self, number: int, runs: Sequence[Run], console: Console) -> Workers:
        """Return the thread as the only worker."""
        return Workers(1, "cpu", Inline())
