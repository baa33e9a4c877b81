"""The local engine: a slot is a worker process of this machine, which imports torch once for all.

The process that calls this imports no torch, and the workers nothing of MLflow.
"""

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing import forkserver
from typing import TYPE_CHECKING, TypeVar

from pipeline.sweep import worker

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import BaseContext

    from pipeline.sweep.news import News

Item = TypeVar("Item")
Result = TypeVar("Result")

PRELOADED = ["pipeline.training.loop", "pipeline.sweep.checkpoint", "torch._dynamo"]
"""Modules that all workers need; importing them imports torch."""
SlotLost = BrokenProcessPool
"""Raised, or set on a future, where the process of a slot was killed."""


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


class Slot:
    """A process that works on one thing at a time; one that is killed is replaced.

    Each has a pool of its own: a pool of several processes does not tell which of them was killed, and breaks whole.

    Args:
        of: where its process comes from.
        device: as `--device` names it.
        number: from 0; it deals out several GPUs.
    """

    def __init__(self, of: "BaseContext", device: str, number: int) -> None:
        self._context = of
        self._arguments = (device, number)
        self._before = self._settled = 0
        self._start()

    def _start(self) -> None:
        # Written by the worker alone, so that there is no lock for it to be killed with.
        self._counted = self._context.Value("q", 0, lock=False)
        self._news: Connection
        self._news, theirs = self._context.Pipe(duplex=False)
        arguments = (*self._arguments, self._counted, theirs)
        self._pool = ProcessPoolExecutor(1, self._context, initializer=worker.start, initargs=arguments)
        self.ready = self._pool.submit(worker.device_name)
        """The name of its device, once it has started."""
        # Or to read what a killed worker has sent in part would wait for the rest for ever.
        self.ready.add_done_callback(lambda _: theirs.close())

    def submit(self, function: Callable[[Item], Result], item: Item) -> Future[Result]:
        """Have it call ``function``; a `SlotLost`, here or in the future, means that it was killed."""
        return self._pool.submit(function, item)

    @property
    def epochs(self) -> int:
        """Epochs that it has trained."""
        return self._before + int(self._counted.value)

    def news(self) -> "list[News]":
        """Return what it has told of the runs that it trains, since it was last asked."""
        found: list[News] = []
        with suppress(EOFError, OSError):  # it was killed
            while self._news.poll():
                found += self._news.recv()
        return found

    def settle(self) -> None:
        """Keep what it has counted: that work is done, and is not lost with the process."""
        self._settled = self._counted.value

    def replace(self) -> None:
        """Put another process in its place."""
        self._before, self._settled = self._before + self._settled, 0
        self.end()
        self._start()

    def end(self) -> None:
        """Let it finish its work, and then end."""
        self._pool.shutdown(cancel_futures=True)
        self._news.close()
