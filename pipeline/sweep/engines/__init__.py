"""Engines execute jobs: worker processes of this machine, or those of a cluster.

An engine has slots, each of which works on one thing at a time. `pipeline.sweep.pool` hands out work to any engine's.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from pipeline.sweep.news import News

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Handshake:
    """What a slot says of itself as it begins: the part of a fingerprint that only a worker knows."""

    device: str
    """Its kind, such as cpu."""
    torch: str
    """The version of torch that trains."""


@dataclass(frozen=True)
class Loss:
    """The end of a slot that nobody asked for."""

    reason: str
    to_blame: bool
    """True if what it worked on may be the cause: such a piece of work is not tried for ever."""


class Slot(Protocol):
    """Works on one thing at a time."""

    ready: "Future[Handshake]"
    """Set once it can work."""
    where: str
    """What it is or where it runs, for messages."""

    def submit(self, function: Callable[[Item], Result], item: Item) -> "Future[Result]":
        """Have it call ``function``. What it raises, here or in the future, is the function's own, or a `loss`."""

    def loss(self, error: BaseException) -> Loss | None:
        """Return how the slot was lost, if ``error`` says that it was."""

    @property
    def epochs(self) -> int:
        """Epochs that it has trained."""

    @property
    def settled(self) -> int:
        """Those among them that are not lost with it."""

    def settle(self) -> None:
        """Count all epochs so far as settled: that work is done."""


class Engine(Protocol):
    """Executes jobs in slots."""

    room: int
    """Slots that there is room for now."""
    limit: int
    """The most slots that are wanted. Where there is room for fewer, one more is begun, and waits for room."""

    def slot(self) -> Slot:
        """Begin a slot."""

    def lost(self, slot: Any) -> None:
        """Clear up after a slot that was lost."""

    def news(self) -> "Sequence[News]":
        """Return what the slots have told of the runs that they train, since they were last asked."""

    def check(self) -> None:
        """Look at the engine itself, about every second; raise an `ExternalError` if it is gone."""

    def kill(self) -> None:
        """End all slots at once, whatever they are doing."""

    def end(self) -> None:
        """Let each slot finish its work, and end them; let go of everything."""
