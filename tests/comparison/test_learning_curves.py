import math

import numpy as np
import pytest

from pipeline.comparison import learning_curves as analysis
from pipeline.records import Record
from pipeline.training.epoch import Epoch
from tests.conftest import load


def record(train: list[float], val: list[float], outcome: str = "finished", every: int = 1) -> Record:
    run = load(seeds=1).runs()[0].model_copy(update={"epochs": len(val) * every})
    epochs = [Epoch(every * (n + 1), 0.1, *losses, None) for n, losses in enumerate(zip(train, val, strict=True))]
    return Record(run, outcome, epochs, "cpu", "2", "f")  # type: ignore[arg-type]


FALLING = [1 / (n + 1) for n in range(40)]
FLAT = [max(1 - n / 10, 0.2) for n in range(40)]
RISING = [0.5 - 0.04 * n if n < 10 else 0.1 + 0.01 * (n - 10) for n in range(40)]


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        (FALLING, FALLING, "still improving"),
        (FALLING, FLAT, "converged"),
        (FALLING, RISING, "overfitting since epoch 12"),
        (FLAT[::-1], RISING, "converged"),  # the training loss rises, too: that is no overfitting
        ([0.5], [0.5], "converged"),
    ],
)
def test_a_word_for_a_learning_curve(train: list[float], val: list[float], says: str) -> None:
    assert str(analysis.learning_curve(record(train, val))) == says


def test_noise_is_no_overfitting() -> None:
    words = []
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 0.005, 40)
        noisy = [float(loss + each) for loss, each in zip(FLAT, noise, strict=True)]
        words.append(analysis.learning_curve(record(FALLING, noisy)).verdict)
    assert words.count("converged") >= 196


def test_the_best_epoch_and_the_gap() -> None:
    curve = analysis.learning_curve(record([0.9, 0.5, 0.3], [0.8, 0.4, 0.7], every=10))
    assert (curve.best_epoch, curve.best_val_loss) == (20, 0.4)
    assert curve.gap == pytest.approx(0.4)


def test_a_diverged_run_and_dead_ones() -> None:
    diverged = analysis.learning_curve(record([0.9, 2.0, math.nan], [0.8, 2.0, math.nan], "diverged"))
    assert str(diverged) == "diverged in epoch 3"
    assert diverged.best_epoch == 1
    assert str(analysis.learning_curve(record([3.0, 3.0], [1.983, 1.983], "dead", 10))) == "dead since epoch 1"
    assert str(analysis.learning_curve(record([3.0, 2.0, 2.0], [2.0, 1.0, 1.0], "dead", 10))) == "dead since epoch 11"


def test_parameters_at_the_start_and_the_end() -> None:
    start = {"a": np.array([[0.0, 1.0], [2.0, -1.0]], np.float32), "b": np.zeros(3, np.float32)}
    end = {"a": np.array([[4.0, -4.0], [0.0005, np.nan]], np.float32), "b": np.zeros(3, np.float32)}
    a, b = analysis.parameters(start, end)
    assert (a.name, a.shape, a.low, a.high) == ("a", (2, 2), -4, 4)
    assert (a.start.mean, a.start.norm, a.start.largest, a.start.near_zero) == pytest.approx((0.5, 6**0.5, 2, 0.25))
    assert a.start.std == pytest.approx(np.std([0, 1, 2, -1]))
    assert (a.end.norm, a.end.near_zero) == pytest.approx((32**0.5, 1 / 3))
    assert [sum(weights.histogram) for weights in (a.start, a.end, b.start)] == [4, 3, 3]
    assert len(a.end.histogram) == analysis.BINS
    assert a.end.histogram[0] == a.end.histogram[-1] == 1
    (nothing,) = analysis.parameters({"c": np.array([np.inf])}, {"c": np.array([np.nan])})
    assert math.isnan(nothing.end.mean)
