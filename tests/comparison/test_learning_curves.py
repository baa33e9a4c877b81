import math
from typing import Literal

import numpy as np
import pytest

from pipeline.comparison.learning_curves import learning_curve
from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record
from tests.helpers.project import load


def record(
    train: list[float],
    val: list[float],
    outcome: Literal["finished", "diverged", "dead"] = "finished",
    every: int = 1,
) -> Record:
    """Return a run with the given losses, which were recorded every ``every`` epochs."""
    changes = {"scheduler": "constant", "seeds": 1, "tasks__digits-mlp__epochs": len(val) * every}
    run = load(**changes).runs()[0]
    epochs = [
        Epoch.of_network(every * (n + 1), 0.1, *losses, None) for n, losses in enumerate(zip(train, val, strict=True))
    ]
    return Record(run, outcome, epochs, "cpu", "2", "f")


FALLING = [1 / (n + 1) for n in range(40)]
FLAT = [max(1 - n / 10, 0.2) for n in range(40)]
RISING = [0.5 - 0.04 * n if n < 10 else 0.1 + 0.01 * (n - 10) for n in range(40)]


@pytest.mark.parametrize(
    ("train", "val", "says"),
    [
        (FALLING, FALLING, "still improving"),
        (FALLING, FLAT, "converged"),
        (FALLING, RISING, "overfitting since epoch 12"),
        (FLAT[::-1], RISING, "converged"),  # not overfitting, because the training loss rises, too
        ([0.5], [0.5], "converged"),
    ],
)
def test_the_verdict_on_a_learning_curve(train: list[float], val: list[float], says: str) -> None:
    assert str(learning_curve(record(train, val))) == says


def test_noise_is_not_overfitting() -> None:
    words = []
    for seed in range(200):
        noise = np.random.default_rng(seed).normal(0, 0.005, 40)
        noisy = [float(loss + each) for loss, each in zip(FLAT, noise, strict=True)]
        words.append(learning_curve(record(FALLING, noisy)).verdict)
    assert words.count("converged") >= 196


def test_the_best_epoch_and_the_gap() -> None:
    curve = learning_curve(record([0.9, 0.5, 0.3], [0.8, 0.4, 0.7], every=10))
    assert (curve.best_epoch, curve.best_val_loss) == (20, 0.4)
    assert curve.gap == pytest.approx(0.4)


def test_the_verdict_on_diverged_and_dead_runs() -> None:
    diverged = learning_curve(record([0.9, 2.0, math.nan], [0.8, 2.0, math.nan], "diverged"))
    assert str(diverged) == "diverged in epoch 3"
    assert diverged.best_epoch == 1
    assert str(learning_curve(record([3.0, 3.0], [1.983, 1.983], "dead", 10))) == "dead since epoch 1"
    assert str(learning_curve(record([3.0, 2.0, 2.0], [2.0, 1.0, 1.0], "dead", 10))) == "dead since epoch 11"
