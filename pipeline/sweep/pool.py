"""Hand out work to the slots of an engine: the queue, second attempts, failures, and how far it is."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import astuple, dataclass, field
from queue import Empty, SimpleQueue
from threading import RLock
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from pipeline.errors import ExternalError, UserError
from pipeline.sweep.engines import Engine, Handshake, Slot
from pipeline.sweep.engines.local import Local
from pipeline.sweep.news import News

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 2
"""A piece of work whose worker is killed is begun so often."""
STARTS = 3
"""So many slots in a row may be lost as they start."""


@dataclass(frozen=True)
class Progress(Generic[Item, Result]):
    """The state of a sweep and, where a piece of work has just ended, its result."""

    running: list[Item]
    epochs: int
    """Epochs trained so far."""
    item: Item | None = None
    result: Result | None = None
    news: Sequence[News] = ()
    """Of the runs that are being trained."""


@dataclass(frozen=True)
class _Ended:
    """The end of a piece of ``work``."""

    work: "_Work"
    slot: Slot
    item: Any
    attempt: int
    future: Future[Any]

    @property
    def came(self) -> bool:
        """Return True if there is a result."""
        return not self.future.cancelled() and self.future.exception() is None


@dataclass(eq=False)
class _Work:
    """What `Workers.work` is at."""

    waiting: deque[tuple[Any, int]]
    """Items, and which attempt of each is the next."""
    function: Callable[[Any], Any]
    sent: Callable[[Any], Any]
    kept: Callable[[Any], Any]
    running: dict[Slot, Any] = field(default_factory=dict)
    ended: SimpleQueue[_Ended | Slot] = field(default_factory=SimpleQueue)
    """Pieces that have ended; and slots that have begun, or not."""
    lock: Any = field(default_factory=RLock)

    def feed(self, slot: Slot) -> None:
        """Give a slot that does nothing the next item at once, in the thread that learns of it first."""
        with self.lock:
            if slot in self.running or not self.waiting:
                return
            item, attempt = self.waiting.popleft()
            self.running[slot] = item
        try:
            future = slot.submit(self.function, self.sent(item))
        except Exception as error:
            future = Future()
            future.set_exception(error)
            attempt -= slot.loss(error) is not None  # it was lost before it had this
        future.add_done_callback(lambda done: self._end(_Ended(self, slot, item, attempt, done)))

    def _end(self, ended: _Ended) -> None:
        with self.lock:
            del self.running[ended.slot]
            if ended.came:
                ended.slot.settle()
                self.feed(ended.slot)
        self.ended.put(ended)


def _same(item: Any) -> Any:
    return item


def _give_up(item: Any, reason: str) -> NoReturn:
    raise ExternalError(f"{reason}; too little memory? try fewer --jobs")


class Workers:
    """Slots of an engine that work.

    A context manager: leaving it ends them, at once if it is left by an exception.

    Args:
        jobs: how many processes of this machine.
        device: as `--device` names it.
        engine: what has the slots instead.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, jobs: int, device: str, engine: Engine | None = None) -> None:
        self.engine: Engine = engine or Local(jobs, device)
        self.jobs = self.engine.room
        """Pieces of work that are done at the same time, as far as one knows when they are cut."""
        self._slots: list[Slot] = []
        self._begun: set[Slot] = set()
        """Slots that are not ready yet."""
        self._work = _Work(deque(), _same, _same, _same)
        self._handshake: Handshake | None = None
        self._epochs_before = self._failed_starts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        self.engine.end()

    def kill(self) -> None:
        """End them at once, whatever they are doing; results that have come are kept."""
        self.engine.kill()
        with suppress(Empty, OSError):
            while True:
                ended = self._work.ended.get_nowait()
                if isinstance(ended, _Ended) and ended.work is self._work and ended.came:
                    self._work.kept(ended.future.result())

    @property
    def slots(self) -> int:
        """Slots that can work now."""
        return len(self._slots)

    @property
    def epochs(self) -> int:
        """Epochs trained so far."""
        return self._epochs_before + sum(slot.epochs for slot in self._slots)

    def handshake(self) -> Handshake:
        """Return what the workers say of themselves; all say the same.

        Raises:
            UserError: there is no such device here, or two differ.
        """
        self._wait()
        assert self._handshake is not None
        return self._handshake

    def work(
        self,
        function: Callable[[Any], Any],
        items: Sequence[Item],
        failed: Callable[[Item, str], None] = _give_up,
        split: Callable[[Item], Sequence[Item]] = lambda item: [item],
        sent: Callable[[Item], Any] = _same,
        kept: Callable[[Any], Any] = _same,
    ) -> Iterator[Progress[Item, Any]]:
        """Call ``function`` on each of ``items`` in the workers, and yield the results in the order they come.

        Without a result, it tells every second where it is. What a worker is killed with, or has too little memory
        for, is tried once more, after all else.

        Args:
            function: what to call; it is pickled.
            items: each the argument of one call.
            failed: called with an item that was tried in vain, and why; by itself that is an `ExternalError`.
            split: divides an item into the parts that are tried once more.
            sent: turns an item into what is sent, as late as it can be; it may be called in any thread.
            kept: called in this thread with each result, once its slot has the next item; it returns what to yield.
        """
        self._wait()
        self._work = work = _Work(deque((item, 1) for item in items), function, sent, kept, ended=self._work.ended)
        left = len(work.waiting)
        self._feed()
        while left > 0:
            try:
                ended = work.ended.get(timeout=1)
            except Empty:
                self.engine.check()
                yield Progress([*work.running.values()], self.epochs, news=self.engine.news())
                continue
            if not isinstance(ended, _Ended):
                self._join(ended)
                self._feed()
                continue
            if ended.work is not work:
                continue  # an earlier one was given up
            try:
                result = ended.future.result()
            except Exception as error:
                loss = ended.slot.loss(error)
                if loss is None and not isinstance(error, MemoryError):
                    raise
                reason = loss.reason if loss else str(error) or "out of memory"
                attempt = ended.attempt if loss is None or loss.to_blame else ended.attempt - 1
                if loss:
                    self._lose(ended.slot)
                if attempt < ATTEMPTS:
                    parts = split(ended.item)
                    work.waiting.extend((part, attempt + 1) for part in parts)
                    left += len(parts) - 1
                else:
                    left -= 1
                    failed(ended.item, reason)
                self._feed()
            else:
                left -= 1
                yield Progress([*work.running.values()], self.epochs, ended.item, kept(result), self.engine.news())

    def begin(self) -> None:
        """Begin the slots, unless that is done; else they begin where they are first needed."""
        while len(self._slots) + len(self._begun) < self.engine.room and not self._handshake:
            self._begin()

    def _wait(self) -> None:
        """Wait until a slot can work."""
        self.begin()
        while not self._slots:
            try:
                event = self._work.ended.get(timeout=1)
            except Empty:
                self.engine.check()
                continue
            if not isinstance(event, _Ended):
                self._join(event)

    def _begin(self) -> None:
        slot = self.engine.slot()
        self._begun.add(slot)
        events = self._work.ended
        slot.ready.add_done_callback(lambda _: events.put(slot))

    def _begin_another(self) -> None:
        """Begin one slot more than there is room for, or one for one that was lost."""
        if not self._begun and len(self._slots) < self.engine.limit:
            self._begin()

    def _join(self, slot: Slot) -> None:
        """Take in a slot that has begun.

        Raises:
            ExternalError: several in a row were lost as they started.
            UserError: there is no such device here, or it differs from the others.
        """
        self._begun.discard(slot)
        try:
            found = slot.ready.result()
        except Exception as error:
            if (loss := slot.loss(error)) is None:
                raise
            self._failed_starts += loss.to_blame
            self.engine.lost(slot)
            if self._failed_starts == STARTS:
                raise ExternalError(f"{loss.reason} while it started") from None
        else:
            self._failed_starts = 0
            self._handshake = self._handshake or found
            for what, here, there in zip(("device", "torch"), astuple(self._handshake), astuple(found), strict=True):
                if here != there:
                    raise UserError(f"{slot.where} has {what} {there}, other nodes {here}: results would not be alike")
            self._slots.append(slot)
        self._begin_another()

    def _lose(self, slot: Slot) -> None:
        if slot not in self._slots:
            return  # it was given something in the moment in which one learned of its end
        self._slots.remove(slot)
        self._epochs_before += slot.settled
        self.engine.lost(slot)
        self._begin_another()

    def _feed(self) -> None:
        for slot in self._slots:
            self._work.feed(slot)
