"""Code that estimates the cost of a sweep: the number of runs, the time per run, and the total time."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.comparison.groups import is_grid
from pipeline.errors import plural
from pipeline.runs.params import Params, Run
from pipeline.sweep import cache
from pipeline.sweep.rounds import first_round

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Trained

LATEST = 30
"""The time per run is estimated from at most this many of the most recently used cached runs."""
LONG = 3600.0
"""If a sweep is likely to take longer than this many seconds, `train` suggests a smaller question."""
PAIR = 50
"""The approximate number of runs that a race between two schedulers needs."""


class Cost:
    """The cost of a sweep, estimated from the training times of earlier runs in the run cache ``folder``.

    With fixed seeds, ``runs`` contains all runs of the sweep. With `seeds: auto`, ``runs`` contains only the runs with
    the first ten seeds.
    """

    def __init__(self, params: Params, runs: Sequence[Run], processes: int, folder: Path) -> None:
        self._params, self._runs, self._processes = params, runs, processes
        self._seconds = _seconds_of_cached(folder / cache.RUNS, runs[0])
        self._is_reported = False

    @property
    def tuning(self) -> int:
        """The number of runs needed to choose base LRs."""
        return len(self._runs) if self._params.run_seeds is None and is_grid(self._runs) else 0

    @property
    def arms(self) -> int:
        """The number of arms in the race; an arm is one scheduler with one optimizer."""
        return len({run.method for run in self._runs})

    @property
    def least(self) -> int:
        """The minimum number of runs in the whole sweep, including cached runs."""
        if self._params.run_seeds is not None:
            return len(self._runs)
        return self.tuning + self.arms * first_round(self.arms, self._params.run_budget)

    @property
    def most(self) -> int:
        """The maximum number of runs in the whole sweep, including cached runs."""
        return self.least if self._params.run_seeds is not None or self.arms == 1 else self.tuning + self.budget

    @property
    def budget(self) -> int:
        """The maximum number of runs in the race."""
        return max(self._params.run_budget, self.least - self.tuning)

    def lines(self) -> list[str]:
        """Return the lines that tell the user, before training begins, what the sweep is likely to cost."""
        if self._params.run_seeds is not None:
            line = f"{self.least} runs of {self._params.task}"
        elif self.tuning:
            line = (
                f"{self.tuning} runs of {self._params.task} to choose base LRs, then {self.least - self.tuning} to "
                f"{self.most - self.tuning} to say which scheduler to use"
            )
        else:
            line = f"{self.least} to {self.most} runs of {self._params.task} to say which scheduler to use"
        return [f"{line}; cached runs cost nothing", *self._durations()]

    def measured(self, trained: "Trained") -> str:
        """Return text that tells the user the sweep's likely duration, estimated from the training time of ``trained``.

        The text is empty if the run was cached, or if the duration has already been reported.
        """
        if self._is_reported or trained.origin == "cached":
            return ""
        self._seconds = trained.timing.seconds
        return "\n".join(self._durations())

    def _durations(self) -> list[str]:
        if self._seconds is None:
            return []
        self._is_reported = True
        low, high = (self._seconds * runs / self._processes for runs in (self.least, self.most))
        span = duration(high) if self.least == self.most else f"{duration(low)} to {duration(high)}"
        processes = plural(self._processes, "process", "es")
        lines = [f"about {self._seconds:.2g} s a run: {span} with {processes}"]
        if high > LONG:
            lines.append(self._smaller_question())
        return lines

    def _smaller_question(self) -> str:
        """Return a line that suggests a smaller question, with its number of runs, its duration and its command."""
        assert self._seconds is not None
        others = [name for name in dict.fromkeys(run.scheduler for run in self._runs) if name != self._params.baseline]
        preferred = "cosine" if "cosine" in others else others[-1] if others else ""
        if len(others) > 1:
            lr = statistics.median_low(self._params.run_task.rates)
            change, runs = f"'scheduler=[{self._params.baseline},{preferred}]' -S seeds=auto -S lr={lr:g}", PAIR
        else:
            change, runs = "seeds=3", 3 * self.arms
        hours = duration(self._seconds * runs / self._processes)
        return f"a smaller question, about {runs} runs and {hours}: `uv run dvc exp run -S {change}`"


def duration(seconds: float) -> str:
    """Return a duration as text, such as `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < LONG else f"{seconds / 3600:.1f} h"


def _seconds_of_cached(folder: Path, run: Run) -> float | None:
    """Return the median training time of recent cached runs similar to ``run``, or None if there are none.

    A run is similar if it has the same task and the same number of epochs.
    """
    latest = sorted(folder.glob("[!.]*"), key=lambda entry: -entry.stat().st_mtime)[:LATEST]
    seconds = []
    for entry in latest:
        timing = cache.timing(entry)
        try:
            settings = json.loads((entry / "run.json").read_text(encoding="utf-8"))["run"]
            is_alike = (settings["task"], settings["epochs"]) == (run.task, run.epochs)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if timing and is_alike:
            seconds.append(timing.seconds)
    return statistics.median(seconds) if seconds else None
