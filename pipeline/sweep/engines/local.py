"""The local engine: a slot is a worker process of this machine, which imports torch once for all.

The process that calls this imports no torch, and the workers nothing of MLflow.
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
from pipeline.sweep.engines import Loss

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

    from pipeline.sweep.news import News

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = [
    *("pipeline.training.loop", "pipeline.sweep.checkpoint", "torch._dynamo"),
    *("pipeline.sweep.jobs", "pipeline.sweep.lint", "pipeline.sweep.range"),
]
"""Modules that all workers need, or else each imports them itself; importing them imports torch."""


def context() -> "BaseContext":
    """Return where processes come from: forks of one that has imported torch, and has no threads to break a fork."""
    # OpenMP's threads wait for each other by spinning, and beside a busy process that is most of what they do. Where
    # they soon give up, two threads still are 1.5 times as fast as one; beside a busy one 1.4 times slower, not ten.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(PRELOADED)
    forkserver.ensure_running()
    return found


def gpus() -> int:
    """Count the NVIDIA GPUs that torch will find: without torch, which the caller of this does not import."""
    if "+cpu" in version("torch"):
        return 0
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return len([each for each in visible.split(",") if each.strip() not in ("", "-1")])
    if (program := shutil.which("nvidia-smi")) is None:
        return 0
    with suppress(OSError, subprocess.TimeoutExpired):
        told = subprocess.run([program, "--list-gpus"], capture_output=True, text=True, timeout=30, check=False).stdout
        return sum(line.startswith("GPU ") for line in told.splitlines())
    return 0


class Slot:
    """A process that works on one thing at a time.

    Each has a pool of its own: a pool of several processes does not tell which of them was killed, and breaks whole.

    Args:
        of: where its process comes from.
        device: as `--device` names it.
        number: from 0; it deals out several GPUs.
    """

    where = "this machine"

    def __init__(self, of: "BaseContext", device: str, number: int) -> None:
        self.number = number
        # Written by the worker alone, so that there is no lock for it to be killed with.
        self._counted = of.Value("q", 0, lock=False)
        self.settled = 0
        self._news: Connection
        self._news, theirs = of.Pipe(duplex=False)
        arguments = device, number, self._counted, theirs
        self._pool = ProcessPoolExecutor(1, of, initializer=worker.start, initargs=arguments)
        self.ready = self._pool.submit(worker.handshake)
        """What it says of itself, once it has started."""
        # Or to read what a killed worker has sent in part would wait for the rest for ever.
        self.ready.add_done_callback(lambda _: theirs.close())

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Have it call ``function``; a `BrokenProcessPool`, here or in the future, means that it was killed."""
        return self._pool.submit(function, item)

    def loss(self, error: BaseException) -> Loss | None:
        """Return that it was killed, if ``error`` says so: by what it does, perhaps, which has taken all memory."""
        killed = isinstance(error, BrokenProcessPool)
        return Loss("a worker process was ended from outside", to_blame=True) if killed else None

    @property
    def epochs(self) -> int:
        """Epochs that it has trained."""
        return int(self._counted.value)

    def news(self) -> "list[News]":
        """Return what it has told of the runs that it trains, since it was last asked."""
        found: list[News] = []
        with suppress(EOFError, OSError):  # it was killed
            while self._news.poll():
                found += self._news.recv()
        return found

    def settle(self) -> None:
        """Count all epochs so far as settled: that work is done."""
        self.settled = self.epochs

    def end(self) -> None:
        """Let it finish its work, and then end."""
        self._pool.shutdown(cancel_futures=True)
        self._news.close()


class Local:
    """Worker processes of this machine. What they need is imported at once, while the caller does something else.

    Args:
        jobs: how many.
        device: as `--device` names it.
    """

    def __init__(self, jobs: int, device: str) -> None:
        self.room = self.limit = jobs
        self._others = set(multiprocessing.active_children())
        self._device, self._context = device, context()
        self._slots: list[Slot] = []

    def slot(self) -> Slot:
        """Start a process, in the place of one that has ended where there is one."""
        number = next(number for number in count() if number not in {slot.number for slot in self._slots})
        self._slots.append(Slot(self._context, self._device, number))
        return self._slots[-1]

    def lost(self, slot: Slot) -> None:
        """Clear up after a process that has ended."""
        self._slots.remove(slot)
        slot.end()

    def news(self) -> "list[News]":
        """Return what the processes have told of the runs that they train, since they were last asked."""
        return [news for slot in self._slots for news in slot.news()]

    def check(self) -> None:
        """Do nothing: this machine is there."""

    def kill(self) -> None:
        """End all processes at once, whatever they are doing."""
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()
            process.join()
        self.end()

    def end(self) -> None:
        """Let each finish its work, and then end."""
        for slot in self._slots:
            slot.end()
