"""Track a sweep while it is trained: runs on their way, and as they end."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runs import records
from pipeline.runs.params import Run
from pipeline.shutdown import defer_signals
from pipeline.sweep.run_progress import RunProgress
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Trained


GATHER = 0.25
"""Seconds between two transactions, at the least: one for many runs takes hardly longer than one for one."""


class Session:
    """The runs of a sweep that is being trained.

    Args:
        store: where to log.
        models: the folder that the runs are written to.
        every: seconds between two looks at what is being trained; what ends before that is logged in one go.
        clock: the time in seconds.
    """

    def __init__(self, store: Store, models: Path, every: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._models, self._every, self._clock = store, models, every, clock
        self._pending: dict[str, tuple[Run, RunProgress]] = {}
        self._begun: dict[str, float] = {}
        self._next = clock()
        self._logged: set[str] = set()
        self._ended: list[Trained] = []
        """Runs that have ended and are not logged yet."""
        self._next_log = clock()

    def tell(self, runs: Mapping[str, Run], news: Sequence[RunProgress]) -> None:
        """Take news of runs that are being trained; ``runs`` by their names."""
        now = self._clock()
        for each in news:
            self._begun.setdefault(each.name, now)
            earlier = self._pending[each.name][1].epochs if each.name in self._pending else ()
            self._pending[each.name] = runs[each.name], replace(each, epochs=[*earlier, *each.epochs])
        due = {name: item for name, item in self._pending.items() if now >= self._begun[name] + self._every}
        if due and now >= self._next:
            with defer_signals():
                self._store.log_live([*due.values()])
            for name in due:
                del self._pending[name]
            self._next = now + self._every
        if now >= self._next_log:
            self.flush()

    def log(self, trained: "Sequence[Trained]") -> None:
        """Log runs that have ended: now, or with those that end in the next moment."""
        self._ended += trained
        for done in trained:
            self._pending.pop(done.record.run.name, None)
        if self._clock() >= self._next_log:
            self.flush()

    def flush(self) -> None:
        """Log all runs that have ended."""
        if not self._ended:
            return
        with defer_signals():
            self._store.log([(done.record, self._models / done.record.run.name, done.timing) for done in self._ended])
            self._logged |= {done.record.run.name for done in self._ended}
            self._ended.clear()
        self._next_log = self._clock() + GATHER

    def give_up(self) -> None:
        """Log every run that is finished by now, and end the others."""
        self.flush()
        with defer_signals():
            left = [record for record in records.finished(self._models) if record.run.name not in self._logged]
            self._store.log([(record, self._models / record.run.name, None) for record in left])
            self._store.end_live()


@contextmanager
def tracked(store: Store, models: Path, stop: Callable[[], None], every: float) -> Iterator[Session]:
    """Track a sweep in the block. However it ends, every run that is finished by then is logged.

    Args:
        store: where to log.
        models: the folder that the runs are written to.
        stop: ends the workers, if the block is left by an exception.
        every: seconds between two looks at what is being trained.
    """
    session = Session(store, models, every)
    try:
        yield session
        session.flush()
    except BaseException:
        stop()
        session.give_up()
        raise
