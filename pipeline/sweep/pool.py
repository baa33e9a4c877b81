"""Hand out work to slots: the queue, second attempts, failures, and how far it is."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Generic, NoReturn, Self, TypeVar

from pipeline.errors import ExternalError
from pipeline.sweep.engines.local import Slot, SlotLost, context
from pipeline.sweep.news import News

Item = TypeVar("Item")
Result = TypeVar("Result")

ATTEMPTS = 2
"""A piece of work whose worker is killed is begun so often."""


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


def _give_up(item: Any, reason: str) -> NoReturn:
    raise ExternalError(f"{reason}; too little memory? try fewer --jobs")


class Workers:
    """``jobs`` processes. What they need is imported at once, while the caller does something else.

    A context manager: leaving it ends them, at once if it is left by an exception.

    Raises:
        UserError: there is no such device here.
    """

    def __init__(self, jobs: int, device: str) -> None:
        self.jobs = jobs
        self._others = set(multiprocessing.active_children())
        self._device, self._context = device, context()
        self._slots: list[Slot] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.kill()
        for slot in self._slots:
            slot.end()

    def kill(self) -> None:
        """End them at once, whatever they are doing."""
        for process in set(multiprocessing.active_children()) - self._others:
            process.kill()
            process.join()

    def work(
        self,
        function: Callable[[Item], Result],
        items: Sequence[Item],
        failed: Callable[[Item, str], None] = _give_up,
        split: Callable[[Item], Sequence[Item]] = lambda item: [item],
    ) -> Iterator[Progress[Item, Result]]:
        """Call ``function`` on each of ``items`` in the workers, and yield the results in the order they come.

        Without a result, it tells every second where it is. What a worker is killed with, or has too little memory
        for, is tried once more, after all else.

        Args:
            function: what to call; it is pickled.
            items: each the argument of one call.
            failed: called with an item that was tried in vain, and why; by itself that is an `ExternalError`.
            split: divides an item into the parts that are tried once more.
        """
        self._wait_until_ready()
        waiting = deque((item, 1) for item in items)
        running: dict[Slot, Item] = {}
        ended: SimpleQueue[tuple[Slot, Item, int, Future[Result]]] = SimpleQueue()

        def feed(slot: Slot) -> None:
            """Give a slot that is done the next item at once, in the thread that learns of it first."""
            try:
                item, attempt = waiting.popleft()
            except IndexError:
                return
            running[slot] = item
            try:
                future = slot.submit(function, item)
            except SlotLost as error:  # it was killed before it had this
                future, attempt = Future(), attempt - 1
                future.set_exception(error)
            future.add_done_callback(lambda done: end(slot, item, attempt, done))

        def end(slot: Slot, item: Item, attempt: int, future: Future[Result]) -> None:
            running.pop(slot)
            if not future.cancelled() and future.exception() is None:
                slot.settle()
                feed(slot)
            ended.put((slot, item, attempt, future))

        left = len(waiting)
        for slot in self._slots:
            feed(slot)
        while left > 0:
            try:
                slot, item, attempt, future = ended.get(timeout=1)
            except Empty:
                yield Progress([*running.values()], self._epochs(), news=self._news())
                continue
            try:
                result = future.result()
            except (SlotLost, MemoryError) as error:
                reason = str(error) or "out of memory"
                if isinstance(error, SlotLost):
                    reason = "a worker process was ended from outside"
                    slot.replace()
                if attempt < ATTEMPTS:
                    parts = split(item)
                    waiting.extend((part, attempt + 1) for part in parts)
                    left += len(parts) - 1
                else:
                    left -= 1
                    failed(item, reason)
                feed(slot)
            else:
                left -= 1
                yield Progress([*running.values()], self._epochs(), item, result, self._news())

    def _wait_until_ready(self) -> None:
        """Start the slots where they are first needed: to start one waits until all is imported."""
        if not self._slots:
            self._slots = [Slot(self._context, self._device, number) for number in range(self.jobs)]
        for slot in self._slots:
            try:
                slot.ready.result()
            except SlotLost:
                raise ExternalError("a worker process was ended from outside while it started") from None

    def _news(self) -> list[News]:
        return [news for slot in self._slots for news in slot.news()]

    def _epochs(self) -> int:
        return sum(slot.epochs for slot in self._slots)
