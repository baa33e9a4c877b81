"""What training made of a network's weights, layer by layer. No I/O."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_ZERO = 1e-3
"""A weight smaller than this counts as near zero."""
BINS = 40
"""Of a layer's histogram."""


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
