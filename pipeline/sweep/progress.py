"""How far a sweep is: a live display in a terminal, plain lines where there is none."""

import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.params import Run
from pipeline.records import Record

QUIET = 30
"""Seconds without a finished run after which plain lines say how far it is."""


class Display:
    """A context manager; tell it of each step with `update`."""

    def __init__(self, console: Console, runs: Sequence[Run], jobs: int) -> None:
        self.console, self.jobs = console, jobs
        self.runs, self.epochs = len(runs), sum(run.epochs for run in runs)
        self.done = self.trained = 0
        self.failed: Counter[str] = Counter()
        self.best: Record | None = None
        self._started = self._spoke = time.monotonic()
        self._bar = Progress(
            TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
        )
        self._task = self._bar.add_task("", total=self.runs)
        self._text = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._bar, self._text), console=console, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        else:
            self._say(f"training {self.runs} runs, {self.epochs} epochs in all, in {self.jobs} processes")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, running: Sequence[Run], epochs: int, record: Record | None = None, seconds: float = 0.0) -> None:
        """Show what is running, how many epochs are trained and, where a run has just ended, what came of it."""
        self.trained = epochs
        if record is not None:
            self.done += 1
            if record.outcome != "finished":
                self.failed[record.outcome] += 1
            if record.outcome == "finished" and (self.best is None or record.last.val_loss < self.best.last.val_loss):
                self.best = record
        if self.console.is_terminal:
            self._bar.update(self._task, completed=self.done)
            names = ", ".join(run.name for run in running)
            best = f"{self.best.run.name}: {_figures(self.best)}" if self.best else "none yet"
            lines = [("left", self._left()), ("running", names), ("best", best)]
            lines += [(outcome, str(count)) for outcome, count in self.failed.items()]
            self._text.plain = "\n".join(f"{title:<9}{line}" for title, line in lines)
        elif record is not None:
            number = f"[{self.done:>{len(str(self.runs))}}/{self.runs}]"
            self._say(f"{number} {record.run.name:<20} {_figures(record)} {seconds:6.1f} s  {self._left()}")
        elif time.monotonic() - self._spoke > QUIET:
            self._say(f"{self.trained} of {self.epochs} epochs, {self._left()}")

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)

    def _left(self) -> str:
        if not 0 < self.trained < self.epochs:
            return ""
        seconds = round((time.monotonic() - self._started) / self.trained * (self.epochs - self.trained))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"{hours} h {minutes:02} min left" if hours else f"{minutes}:{seconds % 60:02} left"


def _figures(record: Record) -> str:
    if record.outcome == "diverged":
        return f"diverged in epoch {record.last.epoch}"
    accuracy = "" if record.last.val_accuracy is None else f"  val accuracy {record.last.val_accuracy:.4f}"
    return f"val loss {record.last.val_loss:.4f}{accuracy}{'  dead' * (record.outcome == 'dead')}"
