"""How a run's learning curve went. No I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.records import Record
from pipeline.training.epoch import Epoch

WINDOW = 0.1
"""The share of the recorded epochs whose mean stands for one point of a learning curve: single epochs are noisy."""
IMPROVED = 0.01
"""A validation loss that fell by this share over the last window is still falling."""
WORSE = 0.02
"""A validation loss that ended by this share above its lowest point has risen."""
NORMAL_MEDIAN = 0.6745
"""The median of the magnitude of a standard normal variable."""


@dataclass(frozen=True)
class LearningCurve:
    """How a run went."""

    verdict: str
    """`still improving`, `converged`, `overfitting`, `diverged` or `dead`."""
    since: int | None
    """The epoch after the best one where it is overfitting; the last epoch of a diverged run; that from which on a
    dead run's validation loss is what it ends with."""
    best_epoch: int
    """The recorded epoch with the lowest validation loss."""
    best_val_loss: float
    gap: float
    """Validation loss minus training loss at the end. The training loss is that of the network while it learned."""

    def __str__(self) -> str:
        joint = {"overfitting": "since", "dead": "since", "diverged": "in"}.get(self.verdict)
        return f"{self.verdict} {joint} epoch {self.since}" if joint else self.verdict


def learning_curve(record: Record) -> LearningCurve:
    """The word for a run's learning curve.

    Losses are compared as means over a tenth of the recorded epochs, and a difference within four standard errors of
    such means is none (the lowest of many is low by luck). Overfitting: the validation loss ended more than 2% above
    its lowest point, while the training loss fell on. Still improving: in the last tenth it was more than 1% lower
    than in the tenth before. Otherwise it has converged.
    """
    epochs = record.epochs
    finite = [epoch for epoch in epochs if not epoch.diverged] or epochs
    best = min(finite, key=lambda epoch: epoch.val_loss)
    last = epochs[-1]
    verdict, since = _verdict(record, finite, best)
    return LearningCurve(verdict, since, best.epoch, best.val_loss, last.val_loss - last.train_loss)


def _verdict(record: Record, epochs: Sequence[Epoch], best: Epoch) -> tuple[str, int | None]:
    last = record.epochs[-1]
    if record.outcome == "diverged":
        return "diverged", last.epoch
    if record.outcome == "dead":
        alive = [epoch.epoch for epoch in epochs if epoch.val_loss != last.val_loss]
        return "dead", max(alive, default=0) + 1
    width = max(1, round(WINDOW * len(epochs)))
    losses = [epoch.val_loss for epoch in epochs]
    error = 4 * _noise(losses) * math.sqrt(2 / width)
    val = _smooth(losses, width)
    train = _smooth([epoch.train_loss for epoch in epochs], width)
    lowest = val.index(min(val))
    if val[-1] - val[lowest] > max(WORSE * val[lowest], error) and train[-1] < train[lowest]:
        return "overfitting", best.epoch + 1
    if len(val) > width and val[-1 - width] - val[-1] > max(IMPROVED * val[-1 - width], error):
        return "still improving", None
    return "converged", None


def _smooth(losses: Sequence[float], width: int) -> list[float]:
    """Means over ``width`` neighbours, from the first whole window on."""
    return [statistics.fmean(losses[end - width : end]) for end in range(width, len(losses) + 1)]


def _noise(losses: Sequence[float]) -> float:
    """The standard deviation of single losses around their trend.

    From the median second difference, in which a trend vanishes and the noise has sqrt(6) of its deviation.
    """
    bends = [abs(losses[n - 1] - 2 * losses[n] + losses[n + 1]) for n in range(1, len(losses) - 1)]
    return statistics.median(bends) / (math.sqrt(6) * NORMAL_MEDIAN) if bends else 0.0
