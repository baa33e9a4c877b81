"""Muon trains the hidden matrices, and another optimizer trains all other weights."""

import inspect
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.networks.cnn import CNN
from pipeline.networks.lenet import LeNet
from pipeline.networks.lstm import LSTM
from pipeline.networks.mlp import MLP
from pipeline.optimizers._together import Together, hidden_matrices
from pipeline.optimizers.muon import Muon
from tests.helpers.project import load
from tests.schedules.common import schedule

SETTINGS = {"class": "Muon", "momentum": 0.9, "rest": {"class": "Adagrad", "lr": 0.003}}


def built(network: nn.Module, lr: float = 0.02, **rest: Any) -> torch.optim.Optimizer:
    settings = load(optimizers__mine=SETTINGS | ({"rest": rest} if rest else {})).optimizers["mine"]
    return settings.build(network, lr)


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return MLP(hidden=[5, 6, 7]).build((4,), 3)


class Tied(nn.Module):
    """A network whose last layer and embedding share their weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(9, 4), nn.Embedding(5, 4)
        self.hidden, self.output = nn.Linear(4, 4), nn.Linear(4, 9)
        self.output.weight = self.embedding.weight


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (mlp, ["layers.3.weight", "layers.5.weight"]),
        (lambda: LeNet().build((1, 28, 28), 10), ["classifier.0.weight", "classifier.2.weight"]),
        (lambda: CNN(hidden=[120]).build((1, 28, 28), 10), ["classifier.0.weight"]),
        (
            lambda: LSTM(embedding=3, hidden=2, layers=1).build((4,), 1, 9),
            [f"{way}s.0.weight_{of}_l0" for way in ("forward", "backward") for of in ("ih", "hh")],
        ),
        (Tied, ["hidden.weight"]),
        (lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Linear(5, 2)), []),
        (lambda: nn.Linear(4, 2), []),
        (lambda: nn.PReLU(), []),
    ],
)
def test_muon_gets_the_hidden_matrices(make: Callable[[], nn.Module], names: list[str]) -> None:
    network = make()
    named = {id(weight): name for name, weight in network.named_parameters()}
    assert [named[id(weight)] for weight in hidden_matrices(network)] == names


def test_settings_are_torchs_arguments() -> None:
    arguments = [*inspect.signature(torch.optim.Muon).parameters]
    assert [*Muon.model_fields] == ["class_", *arguments[2:], "rest"]


def test_every_weight_has_exactly_one_optimizer() -> None:
    network = mlp()
    hidden, others = (group["params"] for group in built(network).param_groups)
    assert {id(weight) for weight in hidden} == {id(weight) for weight in hidden_matrices(network)}
    assert sorted(map(id, [*hidden, *others])) == sorted(map(id, network.parameters()))


def test_a_network_without_hidden_matrices_is_one_line() -> None:
    with pytest.raises(UserError, match="Muon: the network has no hidden matrix, which is"):
        built(nn.Linear(4, 2))


def steps(optimizers: list[torch.optim.Optimizer], network: nn.Module, count: int = 5) -> list[Tensor]:
    for step in range(count):
        for index, weight in enumerate(network.parameters()):
            weight.grad = torch.full_like(weight, 0.1 * (step + 1)) * (weight + index)
        for each in optimizers:
            each.step()
    return [weight.detach().clone() for weight in network.parameters()]


def test_both_optimizers_step_as_they_do_alone() -> None:
    one, other = mlp(), mlp()
    hidden = hidden_matrices(other)
    rest = [weight for weight in other.parameters() if all(weight is not each for each in hidden)]
    alone = [torch.optim.Muon(hidden, lr=0.02, momentum=0.9), torch.optim.Adagrad(rest, lr=0.003)]
    for found, expected in zip(steps([built(one)], one), steps([*alone], other), strict=True):
        assert torch.equal(found, expected)


def test_state_and_groups_are_loaded_into_both_optimizers() -> None:
    one, other = mlp(), mlp()
    first, second = built(one), built(other)
    steps([first], one, 2)
    other.load_state_dict(one.state_dict())
    second.load_state_dict(deepcopy(first.state_dict()))
    for optimizer in (first, second):
        for group in optimizer.param_groups:
            group["lr"] /= 2
    for found, expected in zip(steps([second], other), steps([first], one), strict=True):
        assert torch.equal(found, expected)


def test_a_closure_is_called_once() -> None:
    network, calls = mlp(), list[bool]()

    def closure() -> float:
        calls.append(torch.is_grad_enabled())
        return 2.5

    assert built(network).step(closure) == 2.5
    assert calls == [True]


@pytest.mark.parametrize("name", ["cosine", "onecycle", "cyclic", "warmup-cosine", "polynomial"])
def test_each_group_follows_the_schedule_from_its_own_base_rate(name: str) -> None:
    """A group has the same rates as a separate optimizer with the group's base rate."""
    of = schedule(name)

    def rates(optimizer: torch.optim.Optimizer) -> list[list[float]]:
        scheduler, found = of.build(optimizer, 10, 4), []
        for _ in range(of.steps_per_epoch(4) * 10):
            found.append([group["lr"] for group in optimizer.param_groups])
            optimizer.step()
            scheduler.step()
        return found

    def alone(lr: float) -> list[float]:
        return [rate for (rate,) in rates(torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=lr))]

    found = rates(built(mlp(), 0.02))
    assert [rate for rate, _ in found] == pytest.approx(alone(0.02), rel=1e-12)
    assert [rate for _, rate in found] == pytest.approx(alone(0.003), rel=1e-12)


def test_momentum_is_cycled_in_both_optimizers() -> None:
    optimizer = built(mlp(), 0.02, **{"class": "SGD"})
    schedule("onecycle", cycle_momentum=True).build(optimizer, 5, 4)
    assert [group["momentum"] for group in optimizer.param_groups] == [0.95, 0.95]
    assert isinstance(optimizer, Together)
