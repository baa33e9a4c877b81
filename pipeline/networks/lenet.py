"""LeNet as in PyTorch's CIFAR-10 tutorial."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.networks.base import Model, Width

if TYPE_CHECKING:
    from torch import nn


class LeNet(Model):
    """Two 5 x 5 convolutions, each with ReLU and 2 x 2 max pooling, then fully connected layers with ReLU between them.

    Input: pictures of shape (batch, channels, height, width). Output: logits of shape (batch, outputs).

    Source: LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition".
    """

    name: str = "lenet"
    channels: Annotated[list[Width], Field(min_length=2, max_length=2)] = [6, 16]
    """Number of output channels of each convolution."""
    hidden: Annotated[list[Width], Field(min_length=1)] = [120, 84]
    """Number of units in each hidden layer."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from torch import nn

        from pipeline.networks.modules import MaxPool, dense, pixels_left

        first, second = self.channels
        inputs = second * pixels_left(input_shape)
        features = nn.Sequential(
            nn.Conv2d(input_shape[0], first, 5),
            nn.ReLU(),
            MaxPool(2),
            nn.Conv2d(first, second, 5),
            nn.ReLU(),
            MaxPool(2),
            nn.Flatten(),
        )
        classifier = nn.Sequential(*dense([inputs, *self.hidden, outputs]))
        return nn.Sequential(OrderedDict(features=features, classifier=classifier))
