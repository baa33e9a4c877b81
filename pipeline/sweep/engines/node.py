"""The actors of a cluster: workers on its nodes, and beside the parent the coordinator that they report to."""

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
    """An actor on the parent's machine, which needs no core: takes reports, stores checkpoints."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._reports: list[RunProgress] = []

    def report(self, runs: "Sequence[RunProgress]") -> None:
        """Take progress reports of runs in training."""
        with self._lock:
            self._reports += runs

    def reports(self) -> "list[RunProgress]":
        """Return the progress reports that have arrived since the last call."""
        with self._lock:
            reports, self._reports = self._reports, []
            return reports

    def read(self, path: Path) -> bytes | int:
        """Return the content of a checkpoint, or an error number if it cannot be read."""
        try:
            return path.read_bytes()
        except OSError as error:
            return error.errno or errno.EIO

    def write(self, path: Path, parts: Sequence[bytes]) -> int:
        """Write a checkpoint; return the number of the error, 0 if there is none."""
        try:
            write_parts(path, parts)
        except OSError as error:
            return error.errno or errno.EIO
        return 0


@dataclass(frozen=True)
class RemoteCoordinator:
    """The coordinator, as a worker on any node sees it."""

    actor: Any

    def report(self, runs: "Sequence[RunProgress]") -> None:
        """Send progress reports of runs in training."""
        self.actor.report.remote(runs)

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint at a path of the parent's machine."""
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
    """Wait for the object of a reference. In an actor, `ray.get` would lend the actor's core to others meanwhile."""
    return reference.future().result()


@dataclass(frozen=True)
class Greeting:
    """The first message of a worker."""

    where: str
    """Host name and address of its node."""
    handshake: Handshake
    versions: dict[str, str]
    """See `Compared.versions`."""


class Worker:
    """An actor that makes one call at a time.

    Its methods return errors, as Ray would put a traceback into the text of errors that they raise.
    """

    def begin(
        self, device: str, coordinator: Any, files: Mapping[str, tuple[str, Any]], compared: Compared
    ) -> Greeting | Exception:
        """Get ready to work.

        Args:
            device: its kind, which the parent has decided: even without a GPU of its own, a worker sees the node's.
            coordinator: the actor.
            files: data and weights by their names: the SHA-256 of each, and Ray's reference to its content.
            compared: names what the node must have.
        """
        where = f"{socket.gethostname()} ({_address()})"
        try:
            unpack(files, fetched)
            worker.begin(device, 0, RemoteCoordinator(coordinator))  # Ray shows a worker its own GPU alone
            return Greeting(where, worker.handshake(), compared.versions())
        except (UserError, ExternalError) as error:
            return type(error)(f"{where} {error}")
        except OSError as error:
            return ExternalError(f"{where} cannot write: {error}")
        except ImportError as error:
            return UserError(f"{where} lacks a package: {error}; install there what is installed here")

    def heartbeat(self) -> None:
        """Answer at once, in a thread of its own."""

    def call(self, function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None]:
        """Return the result of ``function``, or its error."""
        try:
            return function(item), None
        except Exception as error:
            error.add_note(traceback.format_exc())
            return None, error


def _address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
