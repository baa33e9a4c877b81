"""The actors of a cluster: the workers on its nodes, and their coordinator on the parent's machine."""

import errno
import os
import socket
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ExternalError, UserError
from pipeline.files import write_parts
from pipeline.sweep import worker
from pipeline.sweep.engines import Handshake
from pipeline.sweep.engines.shipping import Compared, unpack

if TYPE_CHECKING:
    from pipeline.sweep.checkpoint import Checkpoint
    from pipeline.sweep.run_progress import RunProgress


class Coordinator:
    """An actor on the parent's machine that receives progress reports and stores checkpoints. It reserves no core."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: list[RunProgress] = []

    def report(self, runs: "Sequence[RunProgress]") -> None:
        """Receive progress reports on runs that are being trained."""
        with self._lock:
            self._reports += runs

    def reports(self) -> "list[RunProgress]":
        """Return the progress reports that have arrived since this method was last called."""
        with self._lock:
            reports, self._reports = self._reports, []
            return reports

    def read(self, path: Path) -> bytes | int:
        """Return the content of a checkpoint, or the error number (errno) if the file cannot be read."""
        try:
            return path.read_bytes()
        except OSError as error:
            return error.errno or errno.EIO

    def write(self, path: Path, parts: Sequence[bytes]) -> int:
        """Write the parts of a checkpoint to a file; return 0, or the error number (errno) if the write fails."""
        try:
            write_parts(path, parts)
        except OSError as error:
            return error.errno or errno.EIO
        return 0


@dataclass(frozen=True)
class RemoteCoordinator:
    """A worker's handle to the coordinator. The methods call the `Coordinator` actor, which may be on another node."""

    actor: Any

    def report(self, runs: "Sequence[RunProgress]") -> None:
        """Send progress reports on runs that are being trained."""
        self.actor.report.remote(runs)

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint at ``path`` on the parent's machine."""
        from pipeline.sweep.checkpoint import Checkpoint

        return Checkpoint(path, self._read, self._write)

    def _read(self, path: Path) -> bytes:
        content = fetched(self.actor.read.remote(path))
        if isinstance(content, int):
            raise OSError(content, os.strerror(content), str(path))
        return bytes(content)

    def _write(self, path: Path, parts: Sequence[bytes]) -> None:
        if failed := fetched(self.actor.write.remote(path, list(parts))):
            raise OSError(failed, os.strerror(failed), str(path))


def fetched(reference: Any) -> Any:
    """Wait for the object behind a Ray reference, and return it.

    Ray's own function `get` is not used, because it would lend this actor's core to other actors while it waits.
    """
    return reference.future().result()


@dataclass(frozen=True)
class Greeting:
    """A worker's first message to the parent."""

    where: str
    """The host name and the address of the worker's node."""
    handshake: Handshake
    versions: dict[str, str]
    """The result of `Compared.versions` on the node."""


class Worker:
    """An actor that executes one call at a time.

    The methods return errors instead of raising them, because Ray adds a traceback to the text of a raised error.
    """

    def begin(
        self, device: str, coordinator: Any, files: Mapping[str, tuple[str, Any]], compared: Compared
    ) -> Greeting | Exception:
        """Prepare for work, and return a greeting.

        Args:
            device: the kind of device; the parent chooses it, because even a worker without a GPU sees its node's GPUs.
            coordinator: the actor `Coordinator`.
            files: maps the name of each data or weights file to the file's digest and a reference to its content.
            compared: the names of everything that must be the same on the node and on the parent's machine.
        """
        import ray

        where = f"{socket.gethostname()} ({ray.util.get_node_ip_address()})"  # type: ignore[no-untyped-call]
        try:
            unpack(files, fetched)
            worker.begin(device, 0, RemoteCoordinator(coordinator))  # 0, because Ray shows a worker only its own GPU
            return Greeting(where, worker.handshake(), compared.versions())
        except (UserError, ExternalError) as error:
            return type(error)(f"{where} {error}")
        except OSError as error:
            return ExternalError(f"{where} cannot write: {error}")
        except ImportError as error:
            return UserError(f"{where} lacks a package: {error}; install the same packages there as here")

    def heartbeat(self) -> None:
        """Answer at once. Ray runs this method in a separate thread, so a running call does not delay the answer."""

    def call(self, function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
        """Call ``function``; return its result and None, or None and the error that it raised."""
        try:
            return function(item), None
        except Exception as error:
            error.add_note(traceback.format_exc())
            return None, error
