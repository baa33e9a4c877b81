"""A convolutional network with dropout, for MNIST."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.networks.base import Dropout, Model, Width

if TYPE_CHECKING:
    from torch import nn


class CNN(Model):
    """Two 5 x 5 convolutions, each with 2 x 2 max pooling and ReLU, then fully connected layers.

    Input: pictures of shape (batch, channels, height, width). Output: log-probabilities of shape (batch, outputs).
    """

    returns_log_probabilities = True

    name: str = "cnn"
    channels: Annotated[list[Width], Field(min_length=2, max_length=2)] = [10, 20]
    """Number of output channels of each convolution."""
    hidden: Annotated[list[Width], Field(min_length=1)] = [50]
    """Number of units in each hidden layer."""
    dropout: Dropout = 0.5
    """Probability that the dropout after the second convolution sets a value to zero."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from torch import nn

        from pipeline.networks.modules import MaxPool, dense, pixels_left

        first, second = self.channels
        inputs = second * pixels_left(input_shape)
        features = nn.Sequential(
            nn.Conv2d(input_shape[0], first, 5),
            MaxPool(2),
            nn.ReLU(),
            nn.Conv2d(first, second, 5),
            nn.Dropout(self.dropout),
            MaxPool(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        classifier = nn.Sequential(*dense([inputs, *self.hidden, outputs]))
        return nn.Sequential(OrderedDict(features=features, classifier=classifier, output=nn.LogSoftmax(dim=-1)))
