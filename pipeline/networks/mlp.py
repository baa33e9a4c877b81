"""A multilayer perceptron."""

from collections import OrderedDict
from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.networks.base import Model, Width

if TYPE_CHECKING:
    from torch import nn


class MLP(Model):
    """Fully connected layers with an activation function between them.

    Input: pictures of shape (batch, channels, height, width), or numbers of shape (batch, features). Output: logits or
    numbers of shape (batch, outputs).
    """

    takes = ("image", "number")

    name: str = "mlp"
    hidden: Annotated[list[Width], Field(min_length=1)]
    """Number of units in each hidden layer."""
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    """The activation function between the layers."""
    output: Literal["linear", "relu"] = "linear"
    """The activation function after the last layer; `linear` means none."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from torch import nn

        from pipeline.networks.modules import dense

        activations = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
        layers = dense([prod(input_shape), *self.hidden, outputs], activations[self.activation])
        last = [nn.ReLU()] if self.output == "relu" else []
        return nn.Sequential(OrderedDict(layers=nn.Sequential(nn.Flatten(), *layers, *last)))
