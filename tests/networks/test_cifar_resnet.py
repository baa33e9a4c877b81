"""The residual networks for CIFAR match those in the paper (arXiv:1512.03385, section 4.2 and table 6)."""

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, linear

from pipeline.networks.cifar_resnet import CifarResNet

PAPER = {20: 0.27, 32: 0.46, 44: 0.66, 56: 0.85, 110: 1.7}
"""The number of weights in millions for each depth (table 6)."""


@pytest.mark.parametrize(("depth", "millions"), PAPER.items())
def test_as_many_weights_and_layers_as_in_the_paper(depth: int, millions: float) -> None:
    with torch.device("meta"):
        network = CifarResNet(depth=depth).build((3, 32, 32), 10)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    digits = 1 if millions > 1 else 2
    assert round(sum(weight.numel() for weight in network.parameters()) / 1e6, digits) == millions
    assert sum(isinstance(layer, nn.Conv2d | nn.Linear) for layer in network.modules()) == depth
    kernels = [weight for weight in network.parameters() if weight.dim() == 4]
    assert {tuple(kernel.shape[2:]) for kernel in kernels} == {(3, 3)}  # shortcuts have no weights
    of_stage = 2 * (depth - 2) // 6  # the stem is added in the next line
    channels = [16] * (1 + of_stage) + [32] * of_stage + [64] * of_stage
    assert [kernel.shape[0] for kernel in kernels] == channels


def test_initial_weights_are_those_of_he_et_al_2015() -> None:
    torch.manual_seed(0)
    network = CifarResNet(depth=56).build((3, 32, 32), 10)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            expected = (2 / layer.weight[0].numel()) ** 0.5
            assert layer.weight.std().item() == pytest.approx(expected, rel=5 / layer.weight.numel() ** 0.5)
            assert layer.bias is None or not layer.bias.any()


def test_outputs_in_training_follow_the_paper() -> None:
    """Depth 8 is compared with a calculation by hand: batch norm, ReLU, and shortcuts padded with zero channels."""
    torch.manual_seed(0)
    network = CifarResNet(depth=8).build((1, 9, 9), 4)
    x = torch.rand(5, 1, 9, 9)
    weights = dict(network.named_parameters())

    def layer(states: torch.Tensor, kernel: str, norm: str, stride: int = 1) -> torch.Tensor:
        states = conv2d(states, weights[f"{kernel}.weight"], stride=stride, padding=1)
        return batch_norm(states, None, None, weights[f"{norm}.weight"], weights[f"{norm}.bias"], training=True)

    states = layer(x, "stem", "stem_norm").relu()
    for number, stride in enumerate((1, 2, 2)):
        name = f"blocks.{number}"
        inside = layer(states, f"{name}.first", f"{name}.first_norm", stride).relu()
        inside = layer(inside, f"{name}.second", f"{name}.second_norm")
        shortcut = torch.zeros_like(inside)
        shortcut[:, : states.shape[1]] = states[:, :, ::stride, ::stride]
        states = (inside + shortcut).relu()
    assert states.shape == (5, 64, 3, 3)
    expected = linear(states.mean(dim=(2, 3)), weights["output.weight"], weights["output.bias"])
    assert torch.allclose(network(x), expected, atol=1e-5)
