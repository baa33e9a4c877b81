"""Engines execute jobs: in worker processes of this machine, or of a cluster.

An engine starts slots. A slot is one worker, which makes one call at a time. `pipeline.sweep.pool` hands out the work.
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
    """The part of a fingerprint that only a worker knows; a slot reports it when it has started."""

    device: str
    """The kind of device, such as cpu."""
    torch: str
    """The version of torch that trains."""


class WorkerLostError(Exception):
    """A worker ended unexpectedly.

    Args:
        reason: for messages.
        counts_against_work: True if the work may be the cause, so that it is not tried without end.
    """

    def __init__(self, reason: str, counts_against_work: bool) -> None:
        super().__init__(reason)
        self.counts_against_work = counts_against_work


class Slot(Protocol):
    """One worker, which makes one call at a time."""

    ready: "Future[Handshake]"
    """Ends when the worker has started; raises a `WorkerLostError` if it could not."""
    where: str
    """The worker's machine, for messages."""

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Call ``function`` in the worker, after the calls submitted before.

        The future raises the function's own error, or a `WorkerLostError`.
        """


class Engine(Protocol):
    """Executes jobs in slots."""

    room: int
    """The number of slots that fit now."""
    limit: int
    """The most slots wanted. While fewer fit, the pool starts one more, which waits for room."""

    def start_slot(self) -> Slot:
        """Start a worker."""

    def remove(self, slot: Any) -> None:
        """Clean up after a lost worker."""

    def reports(self) -> "Sequence[RunProgress]":
        """Return the progress reports that have arrived since the last call."""

    def check(self) -> None:
        """Check the engine itself; the pool calls this at least every second.

        Raises:
            ExternalError: the engine is gone.
        """

    def kill(self) -> None:
        """End all workers at once, whatever they are doing."""

    def end(self) -> None:
        """End all workers after their current calls, and release everything."""


def converted(future: "Future[Any]", convert: Callable[["Future[Any]"], Result]) -> "Future[Result]":
    """Return a future that gets what ``convert`` returns or raises, called with ``future`` once that has ended."""
    result: Future[Result] = Future()

    def settle(ended: "Future[Any]") -> None:
        with suppress(InvalidStateError):  # the caller has failed it in the meantime
            try:
                value = convert(ended)
            except BaseException as error:
                result.set_exception(error)
            else:
                result.set_result(value)

    future.add_done_callback(settle)
    return result
