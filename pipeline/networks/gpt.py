"""A decoder-only transformer that predicts the next token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from pipeline.networks.base import Dropout, Model, Width

if TYPE_CHECKING:
    from torch import nn


class GPT(Model):
    """A decoder-only transformer, modelled on model.py of karpathy/nanoGPT.

    Input: tokens of shape (batch, length), where the length is at most the context. Output: logits of shape (batch,
    length, vocabulary).

    Source: Vaswani et al. 2017, "Attention Is All You Need". As in GPT-2 (Radford et al. 2019, "Language Models are
    Unsupervised Multitask Learners", section 2.3), there is a layer normalisation before each part of a block and after
    the last block, positions have a learnt embedding, and GELU is approximated with tanh. Input and output share one
    embedding (Press & Wolf 2017, "Using the Output Embedding to Improve Language Models").
    """

    takes = ("tokens",)

    name: str = "gpt"
    layers: Annotated[int, Field(ge=1, le=100)]
    """Number of blocks."""
    heads: Annotated[int, Field(ge=1, le=1_000)]
    """Number of attention heads in each block."""
    width: Width
    """Size of a token's vector. It must be a multiple of `heads`."""
    dropout: Dropout = 0.0
    """Probability of dropout in the attention, after each part of a block, and after the embedding."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "GPT":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from pipeline.networks.modules import Decoder

        (context,) = input_shape
        return Decoder(context, vocabulary_size, **self.model_dump(exclude={"name"}))
