import math

import numpy as np
import pytest

from pipeline.training.layer_statistics import BINS, compare_layers


def test_parameters_at_the_start_and_the_end() -> None:
    start = {"a": np.array([[0.0, 1.0], [2.0, -1.0]], np.float32), "b": np.zeros(3, np.float32)}
    end = {"a": np.array([[4.0, -4.0], [0.0005, np.nan]], np.float32), "b": np.zeros(3, np.float32)}
    a, b = compare_layers(start, end)
    assert (a.name, a.shape, a.low, a.high) == ("a", (2, 2), -4, 4)
    assert (a.start.mean, a.start.norm, a.start.largest, a.start.near_zero) == pytest.approx((0.5, 6**0.5, 2, 0.25))
    assert a.start.std == pytest.approx(np.std([0, 1, 2, -1]))
    assert (a.end.norm, a.end.near_zero) == pytest.approx((32**0.5, 1 / 3))
    assert [sum(weights.histogram) for weights in (a.start, a.end, b.start)] == [4, 3, 3]
    assert len(a.end.histogram) == BINS
    assert a.end.histogram[0] == a.end.histogram[-1] == 1


@pytest.mark.parametrize("low", [0.5, -0.5, 1e18])
def test_weights_may_be_adjacent_floats(low: float) -> None:
    weights = np.array([low, np.nextafter(low, np.inf)])
    for start in (weights, weights[:1]):
        (layer,) = compare_layers({"bias": start}, {"bias": weights})
        assert sum(layer.end.histogram) == 2
        assert len(layer.end.histogram) == BINS


def test_infinite_and_nan_values_are_left_out() -> None:
    start, end = np.array([np.inf], np.float32), np.array([np.nan], np.float32)
    (layer,) = compare_layers({"c": start}, {"c": end})
    assert math.isnan(layer.end.mean)
    assert sum(layer.end.histogram) == 0
