"""What a worker tells of the runs that it is training: how far they are, and the epochs that they have recorded."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.runs.epoch import Epoch
from pipeline.sweep.active import ActiveRun

EVERY = 1.0
"""Seconds between two pieces of news of a run, at the least."""


@dataclass(frozen=True)
class News:
    """The state of a run that is being trained."""

    name: str
    """Of the run."""
    fingerprint: str
    started: float
    """Seconds since 1970."""
    done: float
    """Epochs that are done, the part of the present one included."""
    epochs: Sequence[Epoch]
    """Those recorded since the last news; in the first, all that a checkpoint has."""


class Reporter:
    """Tells of runs that are trained together: at once, and from then on every second.

    Args:
        runs: that are trained.
        send: takes the news to the parent.
        clock: the time in seconds.
    """

    def __init__(
        self,
        runs: Sequence[ActiveRun],
        send: Callable[[Sequence[News]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._runs, self._send, self._clock = runs, send, clock
        self._told = [0] * len(runs)
        self._next = clock()

    def tell(self) -> None:
        """Send the news, if the last are long enough ago."""
        if self._clock() < self._next:
            return
        news = []
        for number, active in enumerate(self._runs):
            training = active.training
            if training.over and self._told[number] == len(training.recorded):
                continue
            epoch, batch = training.position
            epochs = training.recorded[self._told[number] :]
            self._told[number] += len(epochs)
            done = epoch - 1 + batch / (training.run.batches * (training.run.workload.accumulate or 1))
            news.append(News(training.run.name, active.fingerprint, active.started, done, epochs))
        self._send(news)
        self._next = self._clock() + EVERY
