"""Which stack is chosen depends only on the network, the batch and the device."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.datasets import Split, Summary
from pipeline.training import stacking
from pipeline.training.stacking import StackPlan, stack_plan
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.helpers.project import load
from tests.training.fitting import CPU


@pytest.fixture(autouse=True)
def _no_plans_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "_plans", {})


def chosen(task: str, shape: list[int], kind: Any = "image", **changes: Any) -> StackPlan:
    """Return the stack plan that is chosen for runs of a task on a CPU."""
    run = load(task=task, seeds=1, scheduler="cosine", **changes).runs(5000)[0]
    classes = list("01" if kind == "text" else "0123456789")
    summary = Summary("any", {}, kind, "", "", classes, 255, shape, 30 if kind != "image" else 0, {}, {})
    x = torch.ones(2, *shape, dtype=torch.uint8 if kind == "image" else torch.int64)
    y = torch.zeros(2, *shape[: 1 if kind == "tokens" else 0], dtype=torch.int64)
    return stack_plan(Training(run, summary, CPU), TrainingSet(Split(x, y), summary, run.workload, CPU))


def test_which_networks_are_trained_together() -> None:
    """The table in `pipeline.training.stacking` lists these plans in its CPU column."""
    assert chosen("digits-mlp", [1, 8, 8]) == StackPlan("sequential", 1, 16)
    assert chosen("digits-mlp", [1, 8, 8], **{"tasks__digits-mlp__batch_size": 1000}) == StackPlan()
    assert chosen("mnist-mlp", [1, 28, 28]) == StackPlan()
    assert chosen("cifar10-lenet", [3, 32, 32]) == StackPlan("sequential", 4, 4)
    assert chosen("mnist-cnn", [1, 28, 28]) == StackPlan()
    assert chosen("mnist-cnn", [1, 28, 28], **{"tasks__mnist-cnn__batch_size": 16}) == StackPlan("sequential", 4, 4)
    assert chosen("cifar10-lenet", [3, 32, 32], **{"tasks__cifar10-lenet__batch_size": 128}) == StackPlan()
    assert chosen("imdb-gpt", [64], "tokens") == StackPlan()
    assert chosen("imdb-gpt", [4], "tokens", **{"tasks__imdb-gpt__batch_size": 2}) == StackPlan("mapped", 8, 8)


class Forgetful(nn.Module):
    """A network whose outputs depend on how often it is called; `vmap` makes a single call for a whole stack."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(64, classes), 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls = float(self.calls) + 1
        logits: torch.Tensor = self.layer(x.flatten(1))
        return logits * (1 if torch._C._functorch.is_batchedtensor(x) else 1 + self.calls)


def overflowing(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A network whose outputs overflow, so its gradients are NaN."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Linear(4, classes))
    for weight in network.parameters():
        nn.init.constant_(weight, 1e30)
    return network


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("tests.training.fitting:Alone", "item()"),
        ("tests.training.test_stacking:overflowing", "gradients are not finite"),
        ("tests.training.test_stacking:Forgetful", "compute something else in a stack than each does alone"),
    ],
)
def test_a_network_that_cannot_be_mapped_is_trained_alone_with_the_reason(network: str, reason: str) -> None:
    model = {"name": network}
    found = chosen("digits-mlp", [1, 8, 8], **{"tasks__digits-mlp__model": model})
    assert (found.kind, found.most) == (None, 1)
    assert reason in found.reason


def by_line(shape: tuple[int, ...], classes: int) -> nn.Module:
    """A sequential network whose first layer is applied to each line of a picture."""
    return nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Flatten(), nn.Linear(32, classes))


def flat(shape: tuple[int, ...], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16, bias=False), nn.Sequential(nn.GELU()), nn.Linear(16, classes))


@pytest.mark.parametrize(
    ("network", "expected"), [("flat", StackPlan("sequential", 1, 16)), ("by_line", StackPlan("mapped", 8, 8))]
)
def test_a_users_sequential_network_is_tried_as_a_sequential_stack_first(network: str, expected: StackPlan) -> None:
    model = {"name": f"tests.training.test_stacking:{network}"}
    assert chosen("digits-mlp", [1, 8, 8], **{"tasks__digits-mlp__model": model}) == expected


def test_an_lstm_is_trained_alone_with_the_reason() -> None:
    assert chosen("imdb-lstm", [12], "text").reason == "torch.func cannot map an LSTM, a GRU or an RNN"
