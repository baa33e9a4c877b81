"""Signal handling that lets a command and all its workers stop cleanly."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import psutil

POLL_SECONDS = 0.5
"""Number of seconds between two checks that DVC is still running."""
GRACE_SECONDS = 1.0
"""Number of seconds that a block under `defer_signals` has to finish after a signal arrives."""


def install_handlers() -> None:
    """Make SIGTERM end this process as cleanly as Ctrl-C does. If DVC started this process, end it when DVC dies.

    A process that DVC did not start keeps running if its parent dies, so `nohup` and `setsid` work as usual.
    """
    signal.signal(signal.SIGTERM, _exit)
    if "DVC_STAGE" in os.environ:
        threading.Thread(target=_stop_with_dvc, args=(_descent(),), daemon=True).start()


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delay SIGINT and SIGTERM until the block ends, for at most `GRACE_SECONDS`. A second signal is not delayed."""
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


def _descent() -> dict["psutil.Process", int]:
    """Return a dictionary that maps this process, and each shell between this process and DVC, to its parent's ID.

    DVC runs each command in a shell. Some shells, such as Debian's dash, stay between DVC and the command instead of
    replacing themselves with the command. The shells have DVC_STAGE in their environment, but DVC itself does not.
    """
    import psutil

    process, stage = psutil.Process(), os.environ["DVC_STAGE"]
    descent = {process: process.ppid()}
    with suppress(psutil.Error):  # a process whose environment is unreadable is not one of our shells
        while (process := psutil.Process(descent[process])).environ().get("DVC_STAGE") == stage:
            descent[process] = process.ppid()
    return descent


def _stop_with_dvc(descent: dict["psutil.Process", int]) -> None:
    """Stop this process once a process in ``descent`` gets another parent, which means that DVC or a shell died."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        while all(process.ppid() == parent for process, parent in descent.items()):
            time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
