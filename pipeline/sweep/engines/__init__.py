"""Engines, which execute jobs in worker processes on this machine or in a cluster.

An engine starts slots. A slot is a worker that executes one call at a time. The pool (see
`pipeline.sweep.pool`) assigns work to the slots.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from pipeline.sweep.run_progress import RunProgress

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Handshake:
    """The part of a fingerprint that only a worker knows. Each worker reports its handshake once it has started."""

    device: str
    """The kind of device, such as `cpu`."""
    torch: str
    """The worker's version of torch."""


KILLED = "a worker process was killed"
"""The text of a `WorkerLostError` if the worker's process was killed but its machine is still running."""


class WorkerLostError(Exception):
    """A worker ended unexpectedly."""

    def __init__(self, reason: str, counts_against_work: bool) -> None:
        super().__init__(reason)
        self.counts_against_work = counts_against_work
        """True if the call may have killed the worker. If so, the loss counts as a failed attempt at the call."""


class Slot(Protocol):
    """A worker that executes one call at a time."""

    ready: "Future[Handshake]"
    """A future that returns the handshake once the worker has started, or raises an error if the start fails."""
    where: str
    """The name that messages use for the worker's machine."""

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Call ``function`` in the worker once all earlier calls have ended.

        The future raises any error that ``function`` raises, or a `WorkerLostError` if the worker is lost.
        """


class Engine(Protocol):
    """A set of slots that execute jobs, all on this machine or all in a cluster."""

    room: int
    """The number of slots that fit on this machine or in the cluster when the engine is created."""
    limit: int
    """The maximum number of slots. Until this many have started, the pool always keeps one slot waiting to start."""

    def start_slot(self) -> Slot:
        """Start a worker."""

    def remove(self, slot: Any) -> None:
        """Clean up after a slot whose worker was lost."""

    def reports(self) -> "Sequence[RunProgress]":
        """Return the progress reports that have arrived since this method was last called."""

    def check(self) -> None:
        """Check that the engine still works; the pool calls this method regularly.

        Raises:
            ExternalError: the engine no longer works.
        """

    def kill(self) -> None:
        """End all workers at once, even in the middle of a call."""

    def end(self) -> None:
        """End all workers after their current calls, and release the engine's resources."""


def converted(future: "Future[Any]", convert: Callable[["Future[Any]"], Result]) -> "Future[Result]":
    """Return a future with the result or error of ``convert(future)``, which is called once ``future`` is done."""
    result: Future[Result] = Future()

    def settle(ended: "Future[Any]") -> None:
        with suppress(InvalidStateError):  # the engine has already set an error on ``result``
            try:
                value = convert(ended)
            except BaseException as error:
                result.set_exception(error)
            else:
                result.set_result(value)

    future.add_done_callback(settle)
    return result
