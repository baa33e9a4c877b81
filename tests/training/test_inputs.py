"""Inputs and batches as the published recipes have them."""

import numpy as np
import pytest
import torch

from pipeline import data
from pipeline.training import loop as training
from tests.conftest import load


def test_mnist_cnn_is_normalised_as_published() -> None:
    run = load(task="mnist-cnn").runs()[0]
    summary = data.Summary("mnist", {}, "image", "", "", ["0"], 255, [1, 1, 2], 0, {}, {})
    x = training.inputs(torch.tensor([[[[0, 255]]]], dtype=torch.uint8), summary, run)
    assert x.flatten().tolist() == pytest.approx([-0.1307 / 0.3081, (1 - 0.1307) / 0.3081])
    assert (run.loss, run.batch_size, run.epochs, run.lr, run.optimizer_settings["class"]) == (
        "nll",
        64,
        10,
        1e-3,
        "Adam",
    )


def test_cifar10_lenet_is_the_published_recipe() -> None:
    run = load(task="cifar10-lenet", scheduler="step").runs()[0]
    assert (run.lr, run.batch_size, run.epochs, run.optimizer_settings["momentum"]) == (0.001, 4, 10, 0.9)
    assert (run.schedule["step_size"], run.schedule["gamma"]) == (5, 0.1)


def test_imdb_lstm_compares_adam_with_sgd_at_one_rate() -> None:
    runs = load(task="imdb-lstm", scheduler="constant", seeds=1).runs()
    assert [(run.name, run.lr) for run in runs] == [("constant-adam-s0", 1e-3), ("constant-sgd-s0", 1e-3)]
    assert (runs[1].optimizer_settings["class"], runs[1].optimizer_settings["momentum"]) == ("SGD", 0)
    assert (runs[0].batch_size, runs[0].epochs, runs[0].dataset["vocabulary_size"]) == (32, 5, 25_000)
    assert load(task="digits-mlp", scheduler="constant").runs()[0].optimizer_settings["momentum"] == 0.9


def test_texts_of_a_batch_are_about_as_long() -> None:
    lengths = torch.randint(5, 200, (1000,), generator=torch.Generator().manual_seed(1))
    made = training.batches(1000, 10, torch.Generator().manual_seed(0), lengths)
    assert sorted(torch.cat(list(made)).tolist()) == list(range(1000))  # type: ignore[arg-type]
    filling = [float(1 - lengths[batch].float().mean() / lengths[batch].max()) for batch in made]
    assert np.mean(filling) < 0.03
    longest = [int(lengths[batch].max()) for batch in made]
    assert longest != sorted(longest)  # their order is random
