"""A pool that assigns work to an engine's slots, and retries calls whose worker was killed or ran out of memory."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from pipeline.errors import ExternalError, UserError
from pipeline.sweep.engines import Engine, Handshake, Slot, WorkerLostError
from pipeline.sweep.engines.local import LocalEngine
from pipeline.sweep.run_progress import RunProgress

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 2
"""The maximum number of attempts to process an item if workers are killed or run out of memory."""
STARTS = 3
"""If this many workers in a row are killed while they start, the sweep fails."""


@dataclass(frozen=True)
class Update(Generic[Item, Result]):
    """The items that workers are processing and, if a call has just ended, the item and the result of that call."""

    running: list[Item]
    item: Item | None = None
    result: Result | None = None
    reports: Sequence[RunProgress] = ()
    """New progress reports on runs that are being trained."""


@dataclass(eq=False)
class _Call:
    """One attempt to process an item."""

    item: Any
    attempt: int = 1
    future: Future[Any] = field(default_factory=Future)


def _same(item: Any) -> Any:
    return item


def give_up(item: Any, reason: str) -> NoReturn:
    """Raise an `ExternalError` after the last attempt to process an item has failed."""
    raise ExternalError(f"{reason}; too little memory? try fewer --jobs")


class Workers:
    """The workers of ``engine`` or, if no engine is given, ``jobs`` worker processes on this machine.

    At the end of a `with` block, each worker stops after its current call. If the block raises an exception, the
    workers stop at once.
    """

    def __init__(self, jobs: int, device: str, engine: Engine | None = None) -> None:
        self.engine: Engine = engine or LocalEngine(jobs, device)
        self.jobs = self.engine.room
        """The number of workers to divide work among. In a cluster, the actual number of workers may change."""
        self._starting: list[Slot] = []
        self._calls: dict[Slot, deque[_Call]] = {}
        """The calls of each slot that has started. The first call is running; a second call may be waiting."""
        self._kept: Callable[[Any], Any] = _same
        self._handshake: Handshake | None = None
        self._lost_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        self.engine.end()

    def kill(self) -> None:
        """Stop the workers at once, even in the middle of a call, but keep the results that have arrived."""
        self.engine.kill()
        with suppress(OSError):
            for calls in self._calls.values():
                while calls:
                    future = calls.popleft().future
                    if future.done() and future.exception() is None:
                        self._kept(future.result())

    def begin(self) -> None:
        """Start the workers before they are needed."""
        if not self._starting and not self._calls:
            for _ in range(self.engine.room):
                self._starting.append(self.engine.start_slot())

    def handshake(self) -> Handshake:
        """Return the handshake, which is the same for all workers.

        Raises:
            UserError: a machine lacks the device, or workers differ in their kind of device or version of torch.
        """
        self._wait_for_a_slot()
        assert self._handshake is not None
        return self._handshake

    def work(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Item],
        failed: Callable[[Item, str], None] = give_up,
        split: Callable[[Item], Sequence[Item]] = lambda item: [item],
        sent: Callable[[Item], Any] = _same,
        kept: Callable[[Any], Any] = _same,
    ) -> Iterator[Update[Item, Any]]:
        """Have the workers call ``function`` with each of ``items``, and yield the results as they arrive.

        As long as no call ends, yield an update without a result about every second. If a worker is killed or runs out
        of memory, try its item once more, after all other items. If ``function`` raises any other error, re-raise it.

        Args:
            function: the function that the workers call; it must be picklable.
            items: the arguments of the calls.
            failed: called with an item and why its last attempt failed; by default, raises an `ExternalError`.
            split: divides an item into parts for the second attempt.
            sent: called with an item just before the call is submitted; returns the argument to send.
            kept: called in this thread with each result; returns the result to yield.
        """
        self._wait_for_a_slot()
        queue = deque(_Call(item) for item in items)
        self._calls = {slot: deque() for slot in self._calls}  # forget unfinished calls of earlier work
        self._kept = kept
        while queue or any(self._calls.values()):
            self._hand_out(queue, function, sent)
            ended = self._wait()
            for slot in ended:
                call = self._calls[slot].popleft()
                try:
                    result = call.future.result()
                except WorkerLostError as lost:
                    queue.extendleft(reversed(self._calls[slot]))  # calls that have not begun
                    self._replace(slot)
                    reason, attempt = str(lost), call.attempt + 1 if lost.counts_against_work else call.attempt
                except MemoryError as error:
                    reason, attempt = str(error) or "out of memory", call.attempt + 1
                else:
                    self._hand_out(queue, function, sent)  # before `kept`, so that workers need not wait for it
                    yield Update(self._running, call.item, kept(result), self.engine.reports())
                    continue
                if attempt > ATTEMPTS:
                    failed(call.item, reason)
                else:
                    queue.extend(_Call(part, attempt) for part in split(call.item))
            if not ended:
                yield Update(self._running, reports=self.engine.reports())

    def map(
        self, function: Callable[[Any], Any], items: Sequence[Item], sent: Callable[[Item], Any] = _same
    ) -> Iterator[tuple[Item, Any]]:
        """Call ``function`` with each of ``items``, as `work` does, and yield each item with its result."""
        for update in self.work(function, items, sent=sent):
            if update.item is not None:
                yield update.item, update.result

    @property
    def _running(self) -> list[Any]:
        return [calls[0].item for calls in self._calls.values() if calls]

    def _hand_out(self, queue: deque[_Call], function: Callable[[Any], Any], sent: Callable[[Any], Any]) -> None:
        """Submit a call to each idle slot, and a second call to each slot while more calls than slots are queued.

        A worker can then begin its second call as soon as its first ends, even if this thread is busy. Near the end
        of the queue, no slot gets a second call, because another slot may become free sooner.
        """
        slots = max(len(self._calls), self.engine.room)
        for slot, calls in self._calls.items():
            while queue and (not calls or (len(calls) == 1 and len(queue) > slots)):
                call = queue.popleft()
                call.future = slot.submit(function, sent(call.item))
                calls.append(call)

    def _wait(self) -> list[Slot]:
        """Wait for up to a second, admit slots that have started, and return the slots whose current call has ended."""
        running = [calls[0].future for calls in self._calls.values() if calls]
        wait([*(slot.ready for slot in self._starting), *running], timeout=1, return_when=FIRST_COMPLETED)
        self.engine.check()
        for slot in [slot for slot in self._starting if slot.ready.done()]:
            self._starting.remove(slot)
            self._admit(slot)
        return [slot for slot, calls in self._calls.items() if calls and calls[0].future.done()]

    def _wait_for_a_slot(self) -> None:
        self.begin()
        while not self._calls:
            self._wait()

    def _admit(self, slot: Slot) -> None:
        """Admit a slot that has started.

        Raises:
            ExternalError: several workers in a row were killed while starting.
            UserError: the slot's machine lacks the device, or its handshake differs from that of the other slots.
        """
        try:
            handshake = slot.ready.result()
        except WorkerLostError as lost:
            if lost.counts_against_work:
                self._lost_starts += 1
                if self._lost_starts == STARTS:
                    raise ExternalError(f"{lost} while it started") from None
            self._replace(slot)
            return
        self._lost_starts = 0
        self._handshake = self._handshake or handshake
        for name, ours, other in zip(("device", "torch"), astuple(self._handshake), astuple(handshake), strict=True):
            if ours != other:
                raise UserError(f"{slot.where} has {name} {other}, other nodes {ours}: the results would differ")
        self._calls[slot] = deque()
        self._start_another()

    def _replace(self, slot: Slot) -> None:
        """Remove a lost slot, and start another slot if needed."""
        self._calls.pop(slot, None)
        self.engine.remove(slot)
        self._start_another()

    def _start_another(self) -> None:
        """Start another slot, unless a slot is already starting or the engine's limit is reached."""
        if not self._starting and len(self._calls) < self.engine.limit:
            self._starting.append(self.engine.start_slot())
