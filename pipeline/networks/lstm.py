"""A bidirectional LSTM for texts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.networks.base import Dropout, Model, Width

if TYPE_CHECKING:
    from torch import nn


class LSTM(Model):
    """A bidirectional LSTM over word embeddings; a linear layer turns the final states of both directions into logits.

    Input: word numbers of shape (batch, length), padded with 0. Output: logits of shape (batch, outputs).

    Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; Schuster & Paliwal 1997, "Bidirectional Recurrent
    Neural Networks".
    """

    takes = ("text",)

    name: str = "lstm"
    embedding: Width = 100
    """Size of a word's vector."""
    hidden: Width = 256
    """Number of units in each direction of each layer."""
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    """Number of LSTM layers."""
    dropout: Dropout = 0.0
    """Probability of dropout between the LSTM layers and before the output layer."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from pipeline.networks.modules import BidirectionalLSTM

        return BidirectionalLSTM(vocabulary_size, outputs, **self.model_dump(exclude={"name"}))
