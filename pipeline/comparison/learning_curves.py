"""Judges learning curves: whether a run has converged, is still improving or has a problem. No I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record

WINDOW = 0.1
"""Losses are averaged over this share of the recorded epochs, because the loss of a single epoch is noisy."""
IMPROVED = 0.01
"""A validation loss that fell by more than this share over the last window counts as still falling."""
WORSE = 0.02
"""A validation loss that ends more than this share above its lowest point counts as risen."""
NORMAL_MEDIAN = 0.6745
"""The median absolute value of a standard normal variable."""
JOINTS = {"overfitting": "since", "dead": "since", "diverged": "in"}
"""Maps each verdict that names an epoch to the word between the verdict and the epoch."""


@dataclass(frozen=True)
class LearningCurve:
    """The verdict on a run's learning curve."""

    verdict: str
    """The verdict: `still improving`, `converged`, `overfitting`, `diverged` or `dead`."""
    since: int | None
    """The epoch in which the run's problem begins, or None if the run has no problem.

    Overfitting begins after the best epoch. A run is dead from the epoch in which its validation loss becomes
    constant. If a run diverges, `since` is the epoch in which it diverges, which is its last.
    """
    best_epoch: int
    """The recorded epoch with the lowest validation loss."""
    best_val_loss: float
    gap: float
    """The final validation loss minus the training loss measured during the last epoch."""

    def __str__(self) -> str:
        """Return the verdict and, if there is a problem, the epoch in which the problem begins."""
        return f"{self.verdict} {JOINTS[self.verdict]} epoch {self.since}" if self.verdict in JOINTS else self.verdict


def learning_curve(record: Record) -> LearningCurve:
    """Return the verdict on a run's learning curve.

    Losses are averaged over a tenth of the recorded epochs before they are compared. A difference within four standard
    errors does not count, because the lowest of many means is low partly by chance. A run is overfitting if its
    validation loss ended more than 2% above its lowest point while the training loss kept falling. A run is still
    improving if its validation loss fell by more than 1% from the second-last tenth of the epochs to the last tenth.
    Otherwise, the run has converged.
    """
    finite = [epoch for epoch in record.epochs if not epoch.diverged] or record.epochs
    best = min(finite, key=lambda epoch: epoch.figures["val_loss"])
    last = record.last.figures
    verdict, since = _verdict(record, finite, best)
    gap = last["val_loss"] - last["train_loss"]
    return LearningCurve(verdict, since, best.epoch, best.figures["val_loss"], gap)


def _verdict(record: Record, epochs: Sequence[Epoch], best: Epoch) -> tuple[str, int | None]:
    last = record.epochs[-1]
    if record.outcome == "diverged":
        return "diverged", last.epoch
    if record.outcome == "dead":
        alive = [epoch.epoch for epoch in epochs if epoch.val_loss != last.val_loss]
        return "dead", max(alive, default=0) + 1
    width = max(1, round(WINDOW * len(epochs)))
    losses = [epoch.figures["val_loss"] for epoch in epochs]
    error = 4 * _noise(losses) * math.sqrt(2 / width)
    val = _moving_means(losses, width)
    train = _moving_means([epoch.figures["train_loss"] for epoch in epochs], width)
    lowest = val.index(min(val))
    if val[-1] - val[lowest] > max(WORSE * val[lowest], error) and train[-1] < train[lowest]:
        return "overfitting", best.epoch + 1
    if len(val) > width and val[-1 - width] - val[-1] > max(IMPROVED * val[-1 - width], error):
        return "still improving", None
    return "converged", None


def _moving_means(losses: Sequence[float], width: int) -> list[float]:
    """Return the mean of every ``width`` consecutive losses."""
    return [statistics.fmean(losses[end - width : end]) for end in range(width, len(losses) + 1)]


def _noise(losses: Sequence[float]) -> float:
    """Return the standard deviation of single losses around their trend.

    The estimate uses the median absolute second difference of the losses. Taking second differences cancels a linear
    trend and makes the noise √6 times as large.
    """
    bends = [abs(losses[n - 1] - 2 * losses[n] + losses[n + 1]) for n in range(1, len(losses) - 1)]
    return statistics.median(bends) / (math.sqrt(6) * NORMAL_MEDIAN) if bends else 0.0
