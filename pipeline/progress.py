"""How far a sweep is: a live display in a terminal, a line a run where there is none."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from pipeline.params import Run
from pipeline.records import Record


class Display:
    """A context manager; tell it of each step with `update`."""

    def __init__(self, console: Console, total: int, jobs: int) -> None:
        self.console, self.total, self.jobs = console, total, jobs
        self.done = self.diverged = 0
        self.best: Record | None = None
        self.started = time.monotonic()
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=console)
        self._task = self._bar.add_task("training", total=total, left="")
        self._running = Text()
        self._best = Text()
        self._live = Live(Group(self._bar, self._running, self._best), console=console, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        else:
            self.console.print(f"training {self.total} runs in {self.jobs} processes")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(self, running: list[Run], record: Record | None) -> None:
        """Show what is running and, where a run has just ended, what came of it."""
        if record is not None:
            self.done += 1
            self.diverged += record.outcome == "diverged"
            if record.outcome == "finished" and (self.best is None or record.last.val_loss < self.best.last.val_loss):
                self.best = record
        if self.console.is_terminal:
            self._bar.update(self._task, completed=self.done, left=self._left())
            self._running.plain = f"running  {', '.join(run.name for run in running)}"
            self._best.plain = self._best_line()
        elif record is not None:
            self.console.print(
                f"[{self.done:>{len(str(self.total))}}/{self.total}] {record.run.name:<20} {_figures(record)}"
                f"  {record.seconds:6.1f} s  {self._left()}".rstrip(),
                markup=False,
                highlight=False,
                soft_wrap=True,
            )

    def _left(self) -> str:
        if not 0 < self.done < self.total:
            return ""
        seconds = round((time.monotonic() - self.started) / self.done * (self.total - self.done))
        hours, minutes = seconds // 3600, seconds // 60 % 60
        return f"{hours} h {minutes:02} min left" if hours else f"{minutes}:{seconds % 60:02} left"

    def _best_line(self) -> str:
        best = f"best     {self.best.run.name}: {_figures(self.best)}" if self.best else ""
        return best + f"\ndiverged {self.diverged}" * bool(self.diverged)


def _figures(record: Record) -> str:
    if record.outcome == "diverged":
        return f"diverged in epoch {record.last.epoch}"
    return f"val loss {record.last.val_loss:.4f}  val accuracy {record.last.val_accuracy:.4f}"
