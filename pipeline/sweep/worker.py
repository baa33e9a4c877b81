"""The worker's side: its device and threads, and what it tells the parent. Nothing here runs in the parent.

Whatever leaves a worker but results goes over its desk: counts of epochs, news, checkpoints.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.errors import UserError
from pipeline.sweep.engines import Handshake

if TYPE_CHECKING:
    from ctypes import c_longlong
    from multiprocessing.connection import Connection

    import torch

    from pipeline.sweep.checkpoint import Checkpoint
    from pipeline.sweep.news import News

_device: str
_number: int
_desk: "Desk"


class Desk(Protocol):
    """The parent, as a worker sees it."""

    def count(self, epochs: int) -> None:
        """Take note of ``epochs`` more that are trained."""

    def tell(self, news: "Sequence[News]") -> None:
        """Take news of the runs that are being trained."""

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint that the parent has, or will have, at a path of its own."""


@dataclass(frozen=True)
class LocalDesk:
    """The desk of a worker on the parent's machine, which saves checkpoints itself: they outlive the parent."""

    epochs: "c_longlong"
    parent: "Connection"

    def count(self, epochs: int) -> None:
        """Count where the parent looks."""
        self.epochs.value += epochs

    def tell(self, news: "Sequence[News]") -> None:
        """Send news."""
        self.parent.send(news)

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint at a path."""
        from pipeline.sweep.checkpoint import Checkpoint

        return Checkpoint(path)


def start(device: str, number: int, epochs: "c_longlong", parent: "Connection") -> None:
    """Make this process a worker that ends when its parent ends.

    Args:
        device: as `--device` names it.
        number: of the worker, from 0; it deals out several GPUs.
        epochs: where this process counts the epochs that it has trained.
        parent: where it sends news of the runs that it trains.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(device, number, LocalDesk(epochs, parent))


def begin(device: str, number: int, desk: Desk) -> None:
    """Make this process a worker: it imports torch, and has one thread."""
    import torch

    torch.set_num_threads(1)
    global _device, _number, _desk
    _device, _number, _desk = device, number, desk


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def desk() -> Desk:
    """Return the desk of this worker."""
    return _desk


def torch_version() -> str:
    """Return the version of the torch that trains."""
    import torch

    return str(torch.__version__)


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise a MemoryError where torch raises a RuntimeError because memory is short."""
    try:
        yield
    except RuntimeError as error:
        line = str(error).splitlines()[0] if str(error) else ""
        if "allocate" not in line and "out of memory" not in line:
            raise
        raise MemoryError(f"out of memory ({line[:200]})") from None


def handshake() -> Handshake:
    """Return what the parent, which imports no torch, must know of this worker.

    Raises:
        UserError: there is no such device here.
    """
    return Handshake(device().type, torch_version())


@cache
def device() -> "torch.device":
    """Return the device of this worker; several GPUs are dealt out in turn.

    Raises:
        UserError: there is no such device here.
    """
    import torch

    from pipeline.training.determinism import make_device_deterministic

    kind = _device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    make_device_deterministic(kind.partition(":")[0])
    try:
        found = torch.device("cuda", _number % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)
        torch.zeros(1, device=found)
        if found.type == "cuda":
            torch.cuda.set_device(found)  # or streams and graphs would be the first GPU's
        return found
    except (RuntimeError, AssertionError, ZeroDivisionError):
        raise UserError(f"--device {kind}: not on this machine; allowed: {', '.join(_devices())}") from None


def _devices() -> list[str]:
    """List the devices that there are."""
    import torch

    found = ["auto", "cpu"]
    if torch.cuda.is_available():
        found += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    return found
