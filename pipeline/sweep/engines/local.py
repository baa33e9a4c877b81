"""The local engine, whose slots are worker processes forked from a single process that has imported torch.

The parent does not import torch, and the workers do not import MLflow.
"""

import multiprocessing
import os
import shutil
import subprocess
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from importlib.metadata import version
from itertools import count
from multiprocessing import forkserver
from typing import TYPE_CHECKING, TypeVar

from pipeline.sweep import worker
from pipeline.sweep.engines import KILLED, WorkerLostError, converted

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

    from pipeline.sweep.run_progress import RunProgress

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = [
    *("pipeline.training.loop", "pipeline.sweep.checkpoint", "torch._dynamo"),
    *("pipeline.sweep.jobs", "pipeline.sweep.schedule_checks", "pipeline.sweep.lr_range"),
]
"""The modules that the fork server imports once for all workers. These modules import torch."""


def context() -> "BaseContext":
    """Return a context that forks workers from a single-threaded server, because forking with threads is not safe."""
    # OpenMP's threads spin while they wait.
    # Next to a busy process, two spinning threads are ten times slower than one thread.
    # With a short spin, two threads are only 1.4 times slower, or 1.5 times faster if no other process is busy.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    return server


def gpus() -> int:
    """Return how many NVIDIA GPUs torch will find; this function does not import torch."""
    if "+cpu" in version("torch"):
        return 0
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return len([number for number in visible.split(",") if number.strip() not in ("", "-1")])
    if (program := shutil.which("nvidia-smi")) is None:
        return 0
    command = [program, "--list-gpus"]
    with suppress(OSError, subprocess.TimeoutExpired):
        output = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout
        return sum(line.startswith("GPU ") for line in output.splitlines())
    return 0


class LocalSlot:
    """A worker process with its own executor.

    If several workers shared an executor, losing one worker would make the calls of all workers fail.
    ``number`` is the slot's number, counted from 0; it determines which GPU the slot uses.
    """

    where = "this machine"

    def __init__(self, context: "BaseContext", device: str, number: int) -> None:
        self.number = number
        self._reports: Connection
        self._reports, write_end = context.Pipe(duplex=False)
        self._executor = ProcessPoolExecutor(1, context, initializer=worker.start, initargs=(device, number, write_end))
        self.ready = converted(self._executor.submit(worker.handshake), _result)
        # Close our copy of the write end; otherwise, reading a killed worker's half-sent message would block forever.
        self.ready.add_done_callback(lambda _: write_end.close())

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Call ``function`` in the process; the future raises a `WorkerLostError` if the process was killed."""
        try:
            return converted(self._executor.submit(function, item), _result)
        except BrokenProcessPool:
            failed: Future[Result] = Future()
            failed.set_exception(WorkerLostError(KILLED, counts_against_work=False))  # killed before the call
            return failed

    def reports(self) -> "list[RunProgress]":
        """Return the progress reports that have arrived since this method was last called."""
        reports: list[RunProgress] = []
        with suppress(EOFError, OSError):  # the process was killed
            while self._reports.poll():
                reports += self._reports.recv()
        return reports

    def end(self) -> None:
        """End the process after its current call."""
        self._executor.shutdown(cancel_futures=True)
        self._reports.close()


def _result(call: "Future[Result]") -> Result:
    try:
        return call.result()
    except BrokenProcessPool:  # the call may have killed the process, for example by using up all memory
        raise WorkerLostError(KILLED, counts_against_work=True) from None


class LocalEngine:
    """An engine with worker processes on this machine. The fork server imports torch in the background."""

    def __init__(self, jobs: int, device: str) -> None:
        self.room = self.limit = jobs
        self._others = set(multiprocessing.active_children())
        self._device, self._context = device, context()
        self._slots: list[LocalSlot] = []

    def start_slot(self) -> LocalSlot:
        """Start a process with the smallest free number, which may have belonged to a lost process."""
        number = next(number for number in count() if number not in {slot.number for slot in self._slots})
        self._slots.append(LocalSlot(self._context, self._device, number))
        return self._slots[-1]

    def remove(self, slot: LocalSlot) -> None:
        """Clean up after a killed process."""
        self._slots.remove(slot)
        slot.end()

    def reports(self) -> "list[RunProgress]":
        """Return the progress reports that have arrived since this method was last called."""
        return [report for slot in self._slots for report in slot.reports()]

    def check(self) -> None:
        """Do nothing: this machine is always available."""

    def kill(self) -> None:
        """End all processes at once, even in the middle of a call."""
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()
            process.join()
        self.end()

    def end(self) -> None:
        """End each process after its current call."""
        for slot in self._slots:
            slot.end()
