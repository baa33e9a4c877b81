"""The networks match the published networks, and a mistake in a user's model is a one-line error."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from pipeline.errors import UserError
from pipeline.networks.modules import BidirectionalLSTM
from pipeline.training.building import build_network
from tests.helpers.project import load
from tests.networks.examples import facts


def of_task(task: str, input_shape: Sequence[int], classes: int, vocabulary_size: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return build_network(load(task=task).runs()[0].workload, facts(input_shape, classes, vocabulary_size)).eval()


def shapes(network: nn.Module) -> list[tuple[int, ...]]:
    return [tuple(weight.shape) for weight in network.parameters()]


def test_mnist_mlp_is_784_512_256_10() -> None:
    assert shapes(of_task("mnist-mlp", (1, 28, 28), 10))[::2] == [(512, 784), (256, 512), (10, 256)]


def test_cifar10_lenet_is_conv_3_6_5_conv_6_16_5_and_400_120_84_10() -> None:
    network = of_task("cifar10-lenet", (3, 32, 32), 10)
    assert shapes(network)[::2] == [(6, 3, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_mnist_cnn_is_conv_1_10_5_conv_10_20_5_and_320_50_10_with_log_softmax() -> None:
    network = of_task("mnist-cnn", (1, 28, 28), 10)
    assert shapes(network)[::2] == [(10, 1, 5, 5), (20, 10, 5, 5), (50, 320), (10, 50)]
    x = torch.rand(3, 1, 28, 28)
    assert network(x).exp().sum(dim=1).tolist() == pytest.approx([1, 1, 1])
    assert torch.equal(network(x), network(x))
    network.train()
    assert not torch.equal(network(x), network(x))  # because of dropout


def test_square_mlp_is_1_3_5_10_5_1_with_sigmoids_and_a_relu() -> None:
    network = of_task("square-mlp", (1,), 0)
    assert shapes(network)[::2] == [(3, 1), (5, 3), (10, 5), (5, 10), (1, 5)]
    kinds = [type(layer).__name__ for layer in network.layers]  # type: ignore[union-attr]
    assert kinds == ["Flatten"] + ["Linear", "Sigmoid"] * 4 + ["Linear", "ReLU"]


def test_45_of_100_square_mlps_are_dead_from_the_start() -> None:
    """A dead network's output and gradient are 0 everywhere, so its validation loss is the sum of squares of y."""
    x = torch.arange(10, 101, 5)[:, None] / 100
    dead, run = 0, load(task="square-mlp").runs()[0]
    for seed in range(100):
        torch.manual_seed(seed)
        network = build_network(run.workload, facts((1,), 0))
        dead += not network(x).any()
    assert dead == 45
    assert float((x[1::2] ** 4).sum()) == pytest.approx(1.983, abs=5e-4)


@pytest.mark.parametrize("side", [15, 8])
def test_pictures_too_small_for_a_convolution_are_one_line(side: int) -> None:
    with pytest.raises(UserError, match=f"pictures of {side} x {side} pixels are too small"):
        of_task("cifar10-lenet", (3, side, side), 10)
    assert of_task("cifar10-lenet", (3, 16, 20), 4)(torch.zeros(1, 3, 16, 20)).shape == (1, 4)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_lstm_equals_torchs_with_a_packed_sequence(layers: int) -> None:
    torch.manual_seed(0)
    ours = BidirectionalLSTM(30, 1, embedding=5, hidden=4, layers=layers, dropout=0.5).eval()
    theirs = nn.LSTM(5, 4, layers, bidirectional=True, batch_first=True)
    for layer in range(layers):
        for suffix, direction in (("", ours.forwards[layer]), ("_reverse", ours.backwards[layer])):
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(theirs, f"{name}_l{layer}{suffix}").data.copy_(getattr(direction, f"{name}_l0"))
    lengths = torch.tensor([9, 1, 4, 6])
    x = torch.randint(1, 30, (4, 9)) * (torch.arange(9) < lengths[:, None])
    packed = pack_padded_sequence(ours.embedding(x), lengths, batch_first=True, enforce_sorted=False)
    _, (last, _) = theirs(packed)
    expected = ours.output(torch.cat([last[-2], last[-1]], dim=1))
    assert torch.allclose(ours(x), expected, atol=1e-6)
    gradient, theirs_gradient = (
        torch.autograd.grad(output.sum(), ours.embedding.weight)[0] for output in (ours(x), expected)
    )
    assert torch.allclose(gradient, theirs_gradient, atol=1e-6)


def test_padding_changes_nothing() -> None:
    network = of_task("imdb-lstm", (), 2, vocabulary_size=50)
    x = torch.tensor([[5, 7, 9]])
    assert torch.allclose(network(x), network(nn.functional.pad(x, (0, 6))), atol=1e-6)
    assert network(torch.zeros(1, 2, dtype=torch.int32)).isfinite().all()  # for a text without words


BUILDERS = """
import torch
def build(input_shape, outputs, width=3):
    assert input_shape == (2, 2)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, width), torch.nn.Linear(width, outputs))
def broken(input_shape, outputs):
    raise ValueError("no\\nidea")
def none(input_shape, outputs):
    return None
number = 3
"""


@pytest.fixture
def builders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a user's package into the current folder."""
    (tmp_path / "somebodys").mkdir()
    (tmp_path / "somebodys" / "networks.py").write_text(BUILDERS)
    (tmp_path / "somebodys" / "torn.py").write_text("def build(:")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in [name for name in sys.modules if name.startswith("somebodys")]:
        monkeypatch.delitem(sys.modules, name)


def of_user(settings: dict[str, Any]) -> nn.Module:
    (run,) = load(scheduler="constant", seeds=1, **{"tasks__digits-mlp__model": settings}).runs()
    return build_network(run.workload, facts((2, 2), 5))


def test_a_user_model_is_built_with_the_settings_beside_its_name(builders: None) -> None:
    network = of_user({"name": "somebodys.networks:build", "width": 7})
    assert shapes(network)[::2] == [(7, 4), (5, 7)]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "nobodys.networks:build"}, r"nobodys.networks cannot be imported \(ModuleNotFoundError"),
        ({"name": "somebodys.torn:build"}, r"somebodys.torn cannot be imported \(SyntaxError"),
        ({"name": "somebodys.networks:biuld"}, "has no function 'biuld'; did you mean 'build'"),
        ({"name": "somebodys.networks:number"}, "has no function 'number'"),
        ({"name": "somebodys.networks:broken"}, "ValueError: no idea"),
        ({"name": "somebodys.networks:none"}, "returns NoneType, not a torch.nn.Module"),
        ({"name": "somebodys.networks:build", "depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_a_mistake_in_a_user_model_is_one_line(builders: None, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        of_user(settings)
    assert "\n" not in str(raised.value)


def test_word_vectors_fit_the_embedding_or_are_refused() -> None:
    (run, _) = load(task="imdb-lstm", scheduler="constant", seeds=1).runs()
    vectors = torch.rand(50, 100)
    network = build_network(run.workload, facts((), 2, 50), vectors)
    assert torch.equal(network.embedding.weight, vectors)  # type: ignore[union-attr,arg-type]
    with pytest.raises(UserError, match=r"word vectors are \(50, 3\), but model lstm has an embedding of \(50, 100\)"):
        build_network(run.workload, facts((), 2, 50), torch.rand(50, 3))
