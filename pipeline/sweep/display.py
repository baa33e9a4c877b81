"""Code that displays a sweep's progress: as a live view in a terminal, and as plain lines of text elsewhere."""

import math
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.comparison.groups import final_val_loss
from pipeline.errors import plural
from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.sweep.jobs import Trained
from pipeline.sweep.run_progress import RunProgress

QUIET_SECONDS = 30
"""If no plain line has been printed for this many seconds, a progress line is printed."""
SHOWN = 4
"""The maximum number of runs or stacks that a progress line mentions."""
EACH_RUN = 150
"""In a sweep of at most this many runs, a plain line is printed whenever a run ends."""
NOW_AND_THEN = 3
"""In a larger sweep, a run that finishes within this many seconds of the previous line gets no line of its own."""


class Display:
    """A context manager that shows the progress of a sweep; ``jobs`` is the number of workers."""

    def __init__(
        self, console: Console, runs: Sequence[Run], jobs: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console, self.jobs = console, jobs
        self.runs, self.epochs = len(runs), sum(run.epochs for run in runs)
        self.done = 0
        self.failed: Counter[str] = Counter()
        self.best: Record | None = None
        self._epochs_trained = self._epochs_cached = 0
        """Two totals: the epochs of all runs that this sweep has trained, and the epochs of all cached runs."""
        self._active: dict[str, RunProgress] = {}
        """The latest progress report on each run that is being trained, keyed by run name."""
        self._latest: dict[str, Epoch] = {}
        """The latest recorded epoch of each run that is being trained, keyed by run name."""
        self._clock = clock
        self._last_line = clock()
        self._measured_from = clock(), 0.0
        """The starting point for measuring the training speed: a time, and the number of epochs trained by then."""
        self._bar = Progress(
            TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console, get_time=clock
        )
        self._runs_task = self._bar.add_task("runs", total=self.runs)
        self._text = Text(no_wrap=True, overflow="ellipsis")
        self._live = Live(Group(self._bar, self._text), console=console, transient=True)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._live.start()
        else:
            processes = plural(self.jobs, "process", "es")
            self._print(f"training {self.runs} runs, {self.epochs} epochs in all, in {processes}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def update(
        self,
        running: Sequence[Sequence[Run]],
        ended: Sequence[Trained] = (),
        reports: Sequence[RunProgress] = (),
    ) -> None:
        """Show the runs and stacks that are being trained, and the results of runs that have just ended."""
        for report in reports:
            self._active[report.name] = report
            if report.epochs:
                self._latest[report.name] = report.epochs[-1]
        for trained in ended:
            self._active.pop(trained.record.run.name, None)
            self._latest.pop(trained.record.run.name, None)
        self._count_epochs(ended)
        for trained in ended:
            self.done += 1
            self._judge(trained.record)
            if not self.console.is_terminal and self._deserves_a_line(trained.record):
                self._print_ended(trained)
        if self.console.is_terminal:
            self._bar.update(self._runs_task, completed=self.done)
            self._text.plain = "\n".join(f"{title:<9}{line}" for title, line in self._rows(running))
        elif self._clock() - self._last_line > QUIET_SECONDS:
            epochs = f"{self._epochs_cached + int(self._epochs_done)} of {self.epochs} epochs"
            self._print("  ".join(filter(None, [epochs, *map(self._state, running[:SHOWN]), self._left()])))

    @property
    def _epochs_done(self) -> float:
        """The number of epochs trained so far in this sweep, not counting cached runs."""
        return self._epochs_trained + sum(report.done for report in self._active.values())

    def _count_epochs(self, ended: Sequence[Trained]) -> None:
        """Count the epochs of runs that have ended; if any of them was cached, restart the speed measurement."""
        for trained in ended:
            if trained.origin == "cached":
                self._epochs_cached += trained.record.run.epochs
            else:
                self._epochs_trained += trained.record.run.epochs
        if any(trained.origin == "cached" for trained in ended):
            self._measured_from = self._clock(), self._epochs_done

    def _time_left(self) -> str:
        """Return the time left as text, such as `0:12:34`; the text is empty if the time is unknown or zero."""
        begun, epochs_before = self._measured_from
        epochs = self._epochs_done - epochs_before
        epochs_left = self.epochs - self._epochs_cached - self._epochs_done
        seconds = math.ceil(epochs_left * (self._clock() - begun) / epochs) if epochs > 0 else 0
        return str(timedelta(seconds=seconds)) if seconds > 0 else ""

    def _left(self) -> str:
        return f"{left} left" if (left := self._time_left()) else ""

    def _judge(self, record: Record) -> None:
        """Count the run if it failed; remember it if it finished with the lowest final validation loss so far."""
        if record.outcome != "finished":
            self.failed[record.outcome] += 1
        elif self.best is None or final_val_loss(record) < final_val_loss(self.best):
            self.best = record

    def _deserves_a_line(self, record: Record) -> bool:
        is_due = self._clock() - self._last_line >= NOW_AND_THEN
        return self.runs <= EACH_RUN or is_due or record.outcome != "finished" or self.done == self.runs

    def _print_ended(self, trained: Trained) -> None:
        number = f"[{self.done:>{len(str(self.runs))}}/{self.runs}]"
        line = f"{number} {trained.record.run.name:<20} {_figures(trained.record)}"
        if trained.origin == "cached":
            self._print(f"{line} {'cached':>8}")
        else:
            seconds = f"{trained.timing.seconds:.1f} s"
            self._print(f"{line} {seconds:>8}  {self._left()}")

    def _state(self, piece: Sequence[Run]) -> str:
        """Return the current epoch and the mean losses of a run or a stack, as text for a progress line."""
        name = piece[0].name if len(piece) == 1 else f"{piece[0].name} and {len(piece) - 1} more"
        active = [run for run in piece if run.name in self._active]
        if not active:
            return name
        epoch = min(int(self._active[active[0].name].done) + 1, active[0].epochs)
        text = f"{name}: epoch {epoch} of {active[0].epochs}"
        latest = [self._latest[run.name] for run in active if run.name in self._latest]
        if latest:
            train_loss = statistics.fmean(epoch.figures["train_loss"] for epoch in latest)
            val_loss = statistics.fmean(epoch.figures["val_loss"] for epoch in latest)
            low, high = min(epoch.lr for epoch in latest), max(epoch.lr for epoch in latest)
            lr = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
            text += f", train loss {train_loss:.4f}, val loss {val_loss:.4f}, lr {lr}"
        return text

    def _rows(self, running: Sequence[Sequence[Run]]) -> list[tuple[str, str]]:
        """Return the title and the text of each line below the progress bar."""
        return [
            ("left", self._time_left() or "unknown"),
            *(("running", self._state(piece)) for piece in running),
            ("best", f"{self.best.run.name}: {_figures(self.best)}" if self.best else "none yet"),
            *((outcome, str(count)) for outcome, count in self.failed.items()),
        ]

    def _print(self, line: str) -> None:
        self._last_line = self._clock()
        self.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


def _figures(record: Record) -> str:
    if record.outcome == "diverged":
        return f"diverged in epoch {record.last.epoch}"
    accuracy = "" if record.last.val_accuracy is None else f"  val accuracy {record.last.val_accuracy:.4f}"
    dead = "  dead" if record.outcome == "dead" else ""
    return f"val loss {record.last.val_loss:.4f}{accuracy}{dead}"
