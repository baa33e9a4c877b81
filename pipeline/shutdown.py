"""How this process ends: whole, with its workers, whoever ends it."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

WATCHES = 0.5
"""Seconds between two looks at the parent."""
PATIENCE = 1.0
"""Seconds that something which should not be broken off has left when this process is to end."""


def end_whole() -> None:
    """Let SIGTERM end this process as Ctrl-C does, and the end of DVC, which may be killed without a word, likewise.

    Without DVC nobody is watched: a sweep that was started in the background outlives its terminal.
    """
    signal.signal(signal.SIGTERM, _terminated)
    if "DVC_ROOT" in os.environ:
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


@contextmanager
def unbroken() -> Iterator[None]:
    """Let the block come to its end, if that is soon, before a signal ends this process; a second one ends it."""
    signals = (signal.SIGINT, signal.SIGTERM)
    caught: list[int] = []
    timers: list[threading.Timer] = []

    def wait(number: int, frame: FrameType | None) -> None:
        restore()
        caught.append(number)
        timers.append(threading.Timer(PATIENCE, os.kill, (os.getpid(), number)))
        timers[0].start()

    def restore() -> None:
        for number, handler in zip(signals, handlers, strict=True):
            signal.signal(number, handler)

    handlers = [signal.signal(number, wait) for number in signals]
    try:
        yield
    finally:
        restore()
        for timer in timers:
            timer.cancel()
        for number in caught:
            signal.raise_signal(number)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCHES)
    os.kill(os.getpid(), signal.SIGTERM)
