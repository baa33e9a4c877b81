"""Functions that compute statistics of a network's layers before and after training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_ZERO = 1e-3
"""A weight counts as near zero if its absolute value is below this limit."""
BINS = 40
"""The number of bins in a histogram."""


@dataclass(frozen=True)
class Weights:
    """Statistics of the weights or biases of one layer, either before or after training."""

    mean: float
    std: float
    norm: float
    """The Euclidean norm."""
    largest: float
    """The largest absolute value."""
    near_zero: float
    """The fraction of values with an absolute value below `NEAR_ZERO`."""
    histogram: list[int]
    """The number of values in each of `BINS` bins of equal width between the layer's `low` and `high`."""


@dataclass(frozen=True)
class Layer:
    """Statistics of the weights or biases of one layer, before and after training."""

    name: str
    shape: tuple[int, ...]
    low: float
    """The start of both histograms, which is the smallest value before or after training."""
    high: float
    """The end of both histograms, which is the largest value before or after training."""
    start: Weights
    end: Weights


def compare_layers(start: Mapping[str, NDArray[np.float32]], end: Mapping[str, NDArray[np.float32]]) -> list[Layer]:
    """Return statistics of each parameter before and after training, ignoring values that are not finite."""
    return [_layer(name, start[name], weights) for name, weights in end.items()]


def _layer(name: str, start: NDArray[np.float32], end: NDArray[np.float32]) -> Layer:
    before, after = (weights[np.isfinite(weights)].astype(np.float64) for weights in (start, end))
    both = np.concatenate([before, after])
    low, high = (float(both.min()), float(both.max())) if len(both) else (0.0, 0.0)
    return Layer(name, end.shape, low, high, _weights(before, low, high), _weights(after, low, high))


def _weights(values: NDArray[np.float64], low: float, high: float) -> Weights:
    counts = _counts(values, low, high)
    if not len(values):
        return Weights(math.nan, math.nan, math.nan, math.nan, math.nan, counts)
    magnitudes = np.abs(values)
    return Weights(
        mean=float(values.mean()),
        std=float(values.std()),
        norm=float(np.sqrt(np.sum(values**2))),
        largest=float(magnitudes.max()),
        near_zero=float(np.mean(magnitudes < NEAR_ZERO)),
        histogram=counts,
    )


def _counts(values: NDArray[np.float64], low: float, high: float) -> list[int]:
    """Return the number of values in each of `BINS` bins of equal width between ``low`` and ``high``."""
    try:
        return [int(count) for count in np.histogram(values, BINS, (low, high if high > low else low + 1))[0]]
    except ValueError:  # the range is too narrow to be divided into bins in float64
        return [len(values), *[0] * (BINS - 1)]
