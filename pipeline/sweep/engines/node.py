"""What runs on the nodes of a cluster: workers, and beside the parent the desk that they report to."""

import errno
import os
import socket
import threading
import time
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
    from pipeline.sweep.news import News

EVERY = 0.5
"""Seconds between two counts that a worker sends, at the least."""


class Desk:
    """The parent's desk: an actor on the parent's machine, which needs no core."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[int, int] = {}
        self._news: list[News] = []

    def count(self, slot: int, epochs: int) -> None:
        """Take note that a slot has trained so many epochs."""
        with self._lock:
            self._counts[slot] = epochs

    def tell(self, news: "Sequence[News]") -> None:
        """Take news of runs that are being trained."""
        with self._lock:
            self._news += news

    def drain(self) -> "tuple[dict[int, int], list[News]]":
        """Return the epochs of each slot, and the news since the last time."""
        with self._lock:
            news, self._news = self._news, []
            return dict(self._counts), news

    def read(self, path: Path) -> bytes | int:
        """Read a checkpoint; return the number of the error if it cannot be read."""
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


@dataclass
class RemoteDesk:
    """The desk, as a worker on any node sees it."""

    actor: Any
    slot: int
    counted: int = 0
    _next: float = 0.0

    def count(self, epochs: int) -> None:
        """Count; tell the parent now and then."""
        self.counted += epochs
        if time.monotonic() >= self._next:
            self.actor.count.remote(self.slot, self.counted)
            self._next = time.monotonic() + EVERY

    def tell(self, news: "Sequence[News]") -> None:
        """Send news."""
        self.actor.tell.remote(news)

    def checkpoint(self, path: Path) -> "Checkpoint":
        """Return the checkpoint at a path of the parent's."""
        from pipeline.sweep.checkpoint import Checkpoint

        return Checkpoint(path, self._read, self._write)

    def _read(self, path: Path) -> bytes:
        found = fetched(self.actor.read.remote(path))
        if isinstance(found, int):
            raise OSError(found, os.strerror(found), str(path))
        return bytes(found)

    def _write(self, path: Path, parts: Sequence[bytes]) -> None:
        if failed := fetched(self.actor.write.remote(path, list(parts))):
            raise OSError(failed, os.strerror(failed), str(path))


def fetched(reference: Any) -> Any:
    """Wait for what a reference stands for. In an actor, `ray.get` would lend its core to others for as long."""
    return reference.future().result()


@dataclass(frozen=True)
class Greeting:
    """What a worker says as it begins."""

    where: str
    node: str
    """Ray's id of its node."""
    handshake: Handshake
    found: dict[str, str]
    """What is compared."""


class Worker:
    """A slot: an actor that works on one thing at a time.

    Its methods return errors of the work, as Ray puts a traceback into the text of what they raise.
    """

    def begin(
        self, slot: int, device: str, desk: Any, files: Mapping[str, tuple[str, Any]], compared: Compared
    ) -> Greeting | Exception:
        """Get ready to work.

        Args:
            slot: its number.
            device: the kind, which the parent has decided: without a GPU of its own, a worker still sees the node's.
            desk: the parent's.
            files: data and weights: the SHA-256 of each, and Ray's reference to its content; by their names.
            compared: what the parent must know.
        """
        where = f"{socket.gethostname()} ({_address()})"
        try:
            unpack(files, fetched)
            self._desk = RemoteDesk(desk, slot)
            worker.begin(device, 0, self._desk)  # Ray shows it its own GPU alone
            return Greeting(where, _node(), worker.handshake(), compared.found())
        except (UserError, ExternalError) as error:
            return type(error)(f"{where} {error}")
        except OSError as error:
            return ExternalError(f"{where} cannot write: {error}")
        except ImportError as error:
            return UserError(f"{where} lacks a package: {error}; install there what is installed here")

    def pulse(self) -> None:
        """Answer, whatever it works on: in a thread of its own."""

    def call(self, function: Callable[[Any], Any], item: Any) -> tuple[Any, Exception | None, int]:
        """Return what ``function`` returns or raises, and the epochs that this worker has trained."""
        try:
            return function(item), None, self._desk.counted
        except Exception as error:
            error.add_note(traceback.format_exc())
            return None, error, self._desk.counted


def _address() -> str:
    import ray

    return str(ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]


def _node() -> str:
    import ray

    return str(ray.get_runtime_context().get_node_id())
