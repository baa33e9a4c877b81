"""Functions that set up a worker process, choose its device and connect it to the parent.

These functions run only in workers, never in the parent. A worker returns its results to the parent, and sends progress
reports and checkpoints to its coordinator.
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
    from multiprocessing.connection import Connection

    import torch

    from pipeline.sweep.checkpoint import Checkpoint
    from pipeline.sweep.run_progress import RunProgress

_device: str
_number: int
_coordinator: "Coordinator"


class Coordinator(Protocol):
    """A worker's link to the parent for progress reports and checkpoints."""

    def report(self, runs: "Sequence[RunProgress]") -> None:
        """Send progress reports on runs that are being trained."""

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint at ``path`` on the parent's machine."""


@dataclass(frozen=True)
class LocalCoordinator:
    """The coordinator of a local worker. The worker writes checkpoints itself, so they survive if the parent dies."""

    parent: "Connection"

    def report(self, runs: "Sequence[RunProgress]") -> None:
        """Send progress reports on runs that are being trained."""
        self.parent.send(runs)

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint at ``path``."""
        from pipeline.sweep.checkpoint import Checkpoint

        return Checkpoint(path)


def start(device: str, number: int, parent: "Connection") -> None:
    """Turn this process into a local worker that sends progress reports to ``parent`` and ends when the parent ends.

    ``device`` is the value of `--device`. ``number`` is the worker's number, counted from 0; it determines the GPU.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C also reaches the workers, but the parent ends them
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin(device, number, LocalCoordinator(parent))


def begin(device: str, number: int, coordinator: Coordinator) -> None:
    """Make this process a worker: import torch, limit it to one thread, and set the device and the coordinator."""
    import torch

    torch.set_num_threads(1)
    global _device, _number, _coordinator
    _device, _number, _coordinator = device, number, coordinator


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def coordinator() -> Coordinator:
    """Return the coordinator of this worker."""
    return _coordinator


def handshake() -> Handshake:
    """Return this worker's handshake, which the parent cannot determine because it does not import torch.

    Raises:
        UserError: this machine lacks the device.
    """
    return Handshake(device().type, torch_version())


def torch_version() -> str:
    """Return the version of torch in this worker."""
    import torch

    return str(torch.__version__)


@cache
def device() -> "torch.device":
    """Return the device of this worker; if there are several GPUs, the workers are spread evenly over them.

    Raises:
        UserError: this machine lacks the device.
    """
    import torch

    from pipeline.training.determinism import make_device_deterministic

    kind = _device
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    make_device_deterministic(kind.partition(":")[0])
    try:
        device = torch.device("cuda", _number % torch.cuda.device_count()) if kind == "cuda" else torch.device(kind)
        torch.zeros(1, device=device)
        if device.type == "cuda":
            torch.cuda.set_device(device)  # otherwise, CUDA streams and graphs would be created on the first GPU
        return device
    except (RuntimeError, AssertionError, ZeroDivisionError):
        raise UserError(f"--device {kind}: not on this machine; allowed: {', '.join(_devices())}") from None


def _devices() -> list[str]:
    """Return the values of `--device` that are valid on this machine."""
    import torch

    devices = ["auto", "cpu"]
    if torch.cuda.is_available():
        devices += ["cuda", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return devices


@contextmanager
def memory_errors() -> Iterator[None]:
    """If torch runs out of memory in the block, raise a MemoryError instead of torch's RuntimeError."""
    try:
        yield
    except RuntimeError as error:
        line = str(error).splitlines()[0] if str(error) else ""
        if "allocate" not in line and "out of memory" not in line:
            raise
        raise MemoryError(f"out of memory ({line[:200]})") from None
