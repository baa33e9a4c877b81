"""The networks."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Any

from torch import Tensor, nn


class MLP(nn.Module):
    """A multilayer perceptron: fully connected layers with ReLU between, no activation at the end.

    Input (batch, channels, height, width), output (batch, classes): logits.
    """

    def __init__(self, input_shape: Sequence[int], classes: int, hidden: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Flatten()]
        for inputs, outputs in pairwise([prod(input_shape), *hidden]):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Linear(hidden[-1], classes))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


MODELS: dict[str, type[nn.Module]] = {"mlp": MLP}


def build(settings: Mapping[str, Any], input_shape: Sequence[int], classes: int) -> nn.Module:
    """The network that ``settings`` describe, with weights drawn from torch's global generator.

    Args:
        settings: `name` is one of `MODELS`, the rest are its arguments.
        input_shape: of one example, such as (1, 28, 28).
        classes: how many outputs.
    """
    arguments = {key: value for key, value in settings.items() if key != "name"}
    return MODELS[settings["name"]](input_shape, classes, **arguments)
