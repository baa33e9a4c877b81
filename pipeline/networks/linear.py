"""Logistic regression, or linear regression for numbers."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from pipeline.networks.base import Model

if TYPE_CHECKING:
    from torch import nn


class Linear(Model):
    """One fully connected layer. Source: Cox 1958, "The Regression Analysis of Binary Sequences".

    Input (batch, channels, height, width) or (batch, features); output (batch, outputs), logits or numbers.
    """

    takes = ("image", "number")

    name: str = "linear"
    bias: bool = True
    """True to add a constant to each output."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(prod(input_shape), outputs, bias=self.bias))
