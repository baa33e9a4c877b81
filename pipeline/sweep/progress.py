"""Progress of a sweep: a live display in a terminal, plain lines elsewhere."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from pipeline.errors import plural
from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.sweep.news import News

QUIET_SECONDS = 30
"""Time without a finished run after which a plain line tells the progress."""
SHOWN = 4
"""The most runs or stacks that are being trained of which a log tells."""
EACH_RUN = 150
"""In a larger sweep, not every run that has ended gets a plain line, but one now and then."""
NOW_AND_THEN = 3
"""Seconds between two such lines, at the least."""


class Display:
    """A context manager that shows how far a sweep is; `update` tells it of each step.

    Args:
        console: where to print.
        runs: of the sweep.
        jobs: worker processes.
        clock: the time in seconds.
    """

    def __init__(
        self, console: Console, runs: Sequence[Run], jobs: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.console, self.jobs = console, jobs
        self.runs, self.epochs = len(runs), sum(run.epochs for run in runs)
        self.done = 0
        self.failed: Counter[str] = Counter()
        self.best: Record | None = None
        self._done: dict[str, float] = {}
        """Epochs of each run that is being trained, the part of the present one included."""
        self._latest: dict[str, Epoch] = {}
        """The last epoch that each of them has recorded."""
        self._clock = clock
        self._estimate = Estimate(self.runs, self.epochs, clock())
        self._last_line = clock()
        self._bar = Progress(
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            get_time=clock,
        )
        self._task = self._bar.add_task("", total=self.runs)
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
        epochs: int,
        record: Record | None = None,
        seconds: float = 0.0,
        cached: bool = False,
        news: Sequence[News] = (),
    ) -> None:
        """Show what is running and, if a run has just ended, its result.

        Args:
            running: the runs being trained, each alone or with the others of its stack.
            epochs: of the sweep that are done and recorded, those of cached runs included.
            record: the run that has just ended.
            seconds: its training time.
            cached: True if it came from the cache.
            news: of the runs that are being trained.
        """
        for each in news:
            self._done[each.name] = each.done
            if each.epochs:
                self._latest[each.name] = each.epochs[-1]
        if record is not None:
            self.done += 1
            self._judge(record)
            self._done.pop(record.run.name, None)
            self._latest.pop(record.run.name, None)
        cached_epochs = record.run.epochs if record and cached else 0
        self._estimate.update(self._clock(), self.done, epochs + self._unrecorded(running), cached_epochs)
        if self.console.is_terminal:
            self._bar.update(self._task, completed=self.done)
            self._text.plain = "\n".join(f"{title:<9}{line}" for title, line in self._rows(running))
        elif record is not None and self._deserves_a_line(record):
            number = f"[{self.done:>{len(str(self.runs))}}/{self.runs}]"
            # No estimate beside a cached run: others that are not told of yet may be among the epochs that are done.
            took, left = ("cached", "") if cached else (f"{seconds:.1f} s", self._left())
            self._print(f"{number} {record.run.name:<20} {_figures(record)} {took:>8}  {left}")
        elif self._clock() - self._last_line > QUIET_SECONDS:
            told = [f"{epochs} of {self.epochs} epochs", *map(self._state, running[:SHOWN]), self._left()]
            self._print("  ".join(filter(None, told)))

    def _deserves_a_line(self, record: Record) -> bool:
        is_due = self._clock() - self._last_line >= NOW_AND_THEN
        return self.runs <= EACH_RUN or is_due or record.outcome != "finished" or self.done == self.runs

    def _judge(self, record: Record) -> None:
        if record.outcome != "finished":
            self.failed[record.outcome] += 1
        elif self.best is None or record.last.figures["val_loss"] < self.best.last.figures["val_loss"]:
            self.best = record

    def _unrecorded(self, running: Sequence[Sequence[Run]]) -> float:
        """Return how many epochs are done that no run has recorded yet."""
        names = [run.name for piece in running for run in piece if run.name in self._done]
        recorded = (self._latest[name].epoch if name in self._latest else 0 for name in names)
        return sum(max(0.0, self._done[name] - epoch) for name, epoch in zip(names, recorded, strict=True))

    def _state(self, piece: Sequence[Run]) -> str:
        """Return how far a run or a stack is: its epoch, and the means of its losses."""
        name = piece[0].name if len(piece) == 1 else f"{piece[0].name} and {len(piece) - 1} more"
        active = [run for run in piece if run.name in self._done]
        if not active:
            return name
        text = f"{name}: epoch {min(int(self._done[active[0].name]) + 1, active[0].epochs)} of {active[0].epochs}"
        latest = [self._latest[run.name] for run in active if run.name in self._latest]
        if latest:
            losses = [statistics.fmean(e.figures[name] for e in latest) for name in ("train_loss", "val_loss")]
            low, high = min(epoch.lr for epoch in latest), max(epoch.lr for epoch in latest)
            lr = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
            text += f", train loss {losses[0]:.4f}, val loss {losses[1]:.4f}, lr {lr}"
        return text

    def _rows(self, running: Sequence[Sequence[Run]]) -> list[tuple[str, str]]:
        """Return the title and the text of each line below the bar."""
        return [
            ("left", self._estimate.text() or "unknown"),
            *(("running", self._state(piece)) for piece in running),
            ("best", f"{self.best.run.name}: {_figures(self.best)}" if self.best else "none yet"),
            *((outcome, str(count)) for outcome, count in self.failed.items()),
        ]

    def _left(self) -> str:
        text = self._estimate.text()
        return f"{text} left" if text else ""

    def _print(self, line: str) -> None:
        self._last_line = self._clock()
        self.console.print(line.rstrip(), markup=False, highlight=False, soft_wrap=True)


class Estimate:
    """The time that a sweep has left: the epochs it has left, at the rate of those trained so far.

    Cached runs take no time worth counting, so that they count neither as trained nor, before training begins, as time.

    Args:
        runs: of the sweep.
        epochs: of all its runs.
        now: in seconds.
    """

    def __init__(self, runs: int, epochs: int, now: float) -> None:
        self._runs, self._epochs = runs, epochs
        self._started = self._now = now
        self._runs_done = self._epochs_cached = 0
        self._epochs_done = 0.0

    def update(self, now: float, runs: int, epochs: float, cached: int = 0) -> None:
        """Count ``runs`` and ``epochs`` that are done by now; ``cached`` more of these epochs were not trained."""
        self._now, self._runs_done, self._epochs_done = now, runs, epochs
        self._epochs_cached += cached
        if cached and self._epochs_done <= self._epochs_cached:
            self._started = now

    def seconds(self) -> float | None:
        """Return the time left; None if nothing has been trained yet, or nothing is left to train."""
        trained, left = self._epochs_done - self._epochs_cached, self._epochs - self._epochs_done
        if trained <= 0 or left <= 0 or self._runs_done >= self._runs:
            return None
        return (self._now - self._started) / trained * left

    def text(self) -> str:
        """Return the time left, such as 0:22 or 2 h 05 min; empty if it is not known."""
        seconds = self.seconds()
        if seconds is None:
            return ""
        if seconds < 1:
            return "less than a second"
        minutes, rest = divmod(round(seconds), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours} h {minutes:02} min" if hours else f"{minutes}:{rest:02}"


def _figures(record: Record) -> str:
    if record.outcome == "diverged":
        return f"diverged in epoch {record.last.epoch}"
    accuracy = "" if record.last.val_accuracy is None else f"  val accuracy {record.last.val_accuracy:.4f}"
    dead = "  dead" if record.outcome == "dead" else ""
    return f"val loss {record.last.figures['val_loss']:.4f}{accuracy}{dead}"
