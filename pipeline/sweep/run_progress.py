"""Classes for the runs that a worker is training, with their checkpoints and progress reports."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.errors import DamagedError
from pipeline.runs.epoch import Epoch

if TYPE_CHECKING:
    from pipeline.sweep.checkpoint import Checkpoint
    from pipeline.training.state import Training

EVERY = 1.0
"""The minimum number of seconds between two progress reports on a run."""


@dataclass(frozen=True)
class RunProgress:
    """A progress report on a run that is being trained."""

    name: str
    """The name of the run."""
    fingerprint: str
    started: float
    """The start time of the run, in seconds since 1970."""
    done: float
    """The number of epochs trained so far, including a fraction for the current epoch."""
    epochs: Sequence[Epoch]
    """The epochs recorded since the last report; in the first report on a resumed run, all epochs so far."""


@dataclass
class ActiveRun:
    """A run that this worker is training."""

    fingerprint: str
    training: "Training"
    checkpoint: "Checkpoint"
    complaints: list[str]
    started: float = field(default_factory=time.time)
    seconds: float = 0.0
    """The training time, in seconds, up to the checkpoint from which the run was resumed; 0 for a new run."""
    resumed: bool = False

    def save(self, seconds: float) -> None:
        """Save a checkpoint unless the run has ended; ``seconds`` is how long this worker has trained the run."""
        if not self.training.over:
            state = {"started": self.started, "seconds": self.seconds + seconds}
            self.checkpoint.save({"training": self.training.state_dict(), **state})

    def resume(self) -> None:
        """Restore the run from its checkpoint, if it has one."""
        try:
            if state := self.checkpoint.load():
                self.training.load_state_dict(state["training"])
                self.resumed, self.started, self.seconds = True, state["started"], state["seconds"]
        except DamagedError as damage:
            self.complaints.append(f"is trained from its start because its checkpoint is damaged: {damage}")


class Reporter:
    """Reports the progress of runs that are trained together, once at the start and then at most once a second."""

    def __init__(
        self,
        runs: Sequence[ActiveRun],
        send: Callable[[Sequence[RunProgress]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs, self._send, self._clock = runs, send, clock
        self._reported = [0] * len(runs)
        """The number of epochs reported so far for each run."""
        self._next = clock()

    def report(self) -> None:
        """Send progress reports on the runs, unless the last reports were sent less than a second ago."""
        if self._clock() < self._next:
            return
        reports = []
        for number, active in enumerate(self._runs):
            training, first = active.training, self._reported[number]
            if training.over and first == len(training.recorded):
                continue
            self._reported[number] = len(training.recorded)
            epoch, batch = training.position
            done = epoch - 1 + batch / (training.run.batches * (training.workload.accumulate or 1))
            epochs = training.recorded[first:]
            reports.append(RunProgress(training.run.name, active.fingerprint, active.started, done, epochs))
        self._send(reports)
        self._next = self._clock() + EVERY
