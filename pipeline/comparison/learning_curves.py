"""What one run tells: how its learning curve went, and what became of its weights. No I/O."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.records import Epoch, Record

WINDOW = 0.1
"""The share of the recorded epochs whose mean stands for one point of a learning curve: single epochs are noisy."""
IMPROVED = 0.01
"""A validation loss that fell by this share over the last window is still falling."""
WORSE = 0.02
"""A validation loss that ended by this share above its lowest point has risen."""
NEAR_ZERO = 1e-3
"""A weight smaller than this counts as near zero."""
NORMAL_MEDIAN = 0.6745
"""The median of the magnitude of a standard normal variable."""
BINS = 40
"""Of a layer's histogram."""


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


@dataclass(frozen=True)
class Weights:
    """Figures of one layer's weights, or biases."""

    mean: float
    std: float
    norm: float
    """The square root of the sum of their squares."""
    largest: float
    """Magnitude."""
    near_zero: float
    """The share that is smaller than `NEAR_ZERO`."""
    histogram: list[int]
    """How many lie in each of `BINS` equal steps from the layer's `low` to its `high`."""


@dataclass(frozen=True)
class Layer:
    """What became of one layer's weights, or biases."""

    name: str
    shape: tuple[int, ...]
    low: float
    """Where the histograms begin: the smallest value at the start or the end."""
    high: float
    start: Weights
    end: Weights


def parameters(start: Mapping[str, NDArray[np.float32]], end: Mapping[str, NDArray[np.float32]]) -> list[Layer]:
    """The layers of a network before and after training, in its order. Values that are no numbers are left out."""
    return [_layer(name, start[name], weights) for name, weights in end.items()]


def _layer(name: str, start: NDArray[np.float32], end: NDArray[np.float32]) -> Layer:
    before, after = (each[np.isfinite(each)].astype(np.float64) for each in (start, end))
    both = np.concatenate([before, after])
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 0.0)
    figures = [_weights(each, low, high) for each in (before, after)]
    return Layer(name, end.shape, low, high, *figures)


def _weights(values: NDArray[np.float64], low: float, high: float) -> Weights:
    counts, _ = np.histogram(values, BINS, (low, high if high > low else low + 1))
    if not len(values):
        return Weights(math.nan, math.nan, math.nan, math.nan, math.nan, counts.tolist())
    magnitudes = np.abs(values)
    return Weights(
        mean=float(values.mean()),
        std=float(values.std()),
        norm=float(np.sqrt(np.sum(values**2))),
        largest=float(magnitudes.max()),
        near_zero=float(np.mean(magnitudes < NEAR_ZERO)),
        histogram=counts.tolist(),
    )
