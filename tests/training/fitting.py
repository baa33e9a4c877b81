"""Train runs on the digits in this process; the tests of training share this module."""

from collections.abc import Callable
from typing import Any

import torch

from pipeline.datasets import Split, Summary
from pipeline.optimizers.torch_optim import all_classes
from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.training.loop import train
from pipeline.training.state import Training
from tests.helpers.project import load

CPU = torch.device("cpu")
OPTIMIZERS: dict[str, dict[str, Any]] = {
    **{name: {"class": name} for name in all_classes() if name != "Muon"},
    "SGD": {"class": "SGD", "momentum": 0.9},
    "Muon": {"class": "Muon", "rest": {"class": "NAdam", "lr": 0.003}},
    "Muon and Adagrad": {"class": "Muon", "rest": {"class": "Adagrad"}},  # has state before its first step
}
"""Settings of at least one optimizer of every class."""
Splits = tuple[Split, Split]
"""A training split and a validation split."""
Weights = dict[str, torch.Tensor]


def runs(epochs: Any = 3, examples: Any = 1077, **changes: Any) -> list[Run]:
    return load(**{"tasks__digits-mlp__epochs": epochs, **changes}).runs(examples)


def fit(training: Training, splits: Splits, before_batch: Callable[[], None] = lambda: None) -> list[Epoch]:
    """Train a run to its end, and return the epochs that it has recorded."""
    return [epoch for _, epoch in train([training], *splits, before_batch)]


def fitted(run: Run, summary: Summary, splits: Splits) -> tuple[list[Epoch], Weights]:
    """Train a run from its start; return its epochs and its final weights."""
    training = Training(run, summary, CPU)
    return fit(training, splits), training.network.state_dict()


def equal(one: Weights, other: Weights) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def plain(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A user's model with a single linear layer."""
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))


class Alone(torch.nn.Module):
    """A user's model whose code depends on values, so it is never trained in a stack."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits if logits.max().item() < 1e9 else logits * 2


def normed(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A user's model whose batch norm has one value per channel and example."""
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, classes)
    )


def drops(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A user's model with dropout, which draws random numbers, and batch norm, which has buffers."""
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 32), torch.nn.BatchNorm1d(32), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Dropout(0.3), torch.nn.Linear(32, classes))


def tied(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """A user's model in which two names share one matrix, as input and output do in language models."""
    first, second = torch.nn.Linear(64, 64), torch.nn.Linear(64, 64)
    second.weight = first.weight
    return torch.nn.Sequential(torch.nn.Flatten(), first, torch.nn.Tanh(), second, torch.nn.Linear(64, classes))
