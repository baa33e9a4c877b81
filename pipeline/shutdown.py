"""Signal handling that lets a command and all its workers stop cleanly."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

POLL_SECONDS = 0.5
"""Number of seconds between two checks that the parent process is still running."""
GRACE_SECONDS = 1.0
"""Number of seconds that a block in `defer_signals` has to finish after a signal."""


def install_handlers() -> None:
    """Make SIGTERM unwind this process as Ctrl-C does. If DVC started the process, stop the process when DVC dies.

    Without DVC, the process outlives its parent, so a sweep in the background goes on after its terminal is closed.
    """
    signal.signal(signal.SIGTERM, _exit)
    if "DVC_ROOT" in os.environ:
        threading.Thread(target=_stop_with, args=(os.getppid(),), daemon=True).start()


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends, but for `GRACE_SECONDS` at most; a second signal acts at once."""
    signals = (signal.SIGINT, signal.SIGTERM)
    caught: list[int] = []
    timers: list[threading.Timer] = []

    def hold(number: int, frame: FrameType | None) -> None:
        restore()
        caught.append(number)
        timers.append(threading.Timer(GRACE_SECONDS, os.kill, (os.getpid(), number)))
        timers[0].start()

    def restore() -> None:
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)

    handlers = [signal.signal(number, hold) for number in signals]
    try:
        yield
    finally:
        restore()
        for timer in timers:
            timer.cancel()
        for number in caught:
            signal.raise_signal(number)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _stop_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
