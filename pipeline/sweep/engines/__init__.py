"""Engines, which execute jobs in worker processes on this machine or in a cluster.

An engine starts slots. A slot is a worker that executes one call at a time. The pool in `pipeline.sweep.pool` hands
out the work.
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
    """The part of a fingerprint that only a worker knows; the worker reports it once it has started."""

    device: str
    """The kind of device, such as cpu."""
    torch: str
    """The worker's version of torch."""


KILLED = "a worker process was killed"
"""The reason that a `WorkerLostError` gives if a process was killed but its machine is still up."""


class WorkerLostError(Exception):
    """A worker ended unexpectedly."""

    def __init__(self, reason: str, counts_against_work: bool) -> None:
        super().__init__(reason)
        self.counts_against_work = counts_against_work
        """True if the work itself may have killed the worker; the loss then counts as an attempt to do the work."""


class Slot(Protocol):
    """A worker that executes one call at a time."""

    ready: "Future[Handshake]"
    """A future that is done once the worker has started, or raises a `WorkerLostError` if it was lost before that."""
    where: str
    """The name that messages use for the worker's machine."""

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Call ``function`` in the worker, after all calls that were submitted earlier.

        The future raises any error that ``function`` raises, or a `WorkerLostError`.
        """


class Engine(Protocol):
    """Executes jobs in slots."""

    room: int
    """The number of slots for which there is room at present."""
    limit: int
    """The maximum number of slots to use. As long as fewer fit, the pool keeps one more slot waiting for room."""

    def start_slot(self) -> Slot:
        """Start a worker."""

    def remove(self, slot: Any) -> None:
        """Clean up after a slot whose worker was lost."""

    def reports(self) -> "Sequence[RunProgress]":
        """Return the progress reports that have arrived since the last call."""

    def check(self) -> None:
        """Check that the engine is alive; the pool calls this method at least once a second.

        Raises:
            ExternalError: the engine no longer works.
        """

    def kill(self) -> None:
        """End all workers at once, even during a call."""

    def end(self) -> None:
        """End all workers after their current calls, and release all resources."""


def converted(future: "Future[Any]", convert: Callable[["Future[Any]"], Result]) -> "Future[Result]":
    """Return a future with the result or error of ``convert``, which is called with ``future`` once that is done."""
    result: Future[Result] = Future()

    def settle(ended: "Future[Any]") -> None:
        with suppress(InvalidStateError):  # the caller has already set an error
            try:
                value = convert(ended)
            except BaseException as error:
                result.set_exception(error)
            else:
                result.set_result(value)

    future.add_done_callback(settle)
    return result
