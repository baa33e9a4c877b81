"""A decoder-only transformer that predicts the next token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from pipeline.networks.base import Dropout, Model, Width

if TYPE_CHECKING:
    from torch import nn


class GPT(Model):
    """A decoder-only transformer, modelled on model.py of karpathy/nanoGPT.

    Input: tokens, (batch, length), where the length is at most the context. Output: logits, (batch, length,
    vocabulary).

    Source: Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2019, "Language Models are Unsupervised
    Multitask Learners" (GPT-2), section 2.3, for layer normalisation before each part of a block and after the last
    block, learned positions, and the tanh approximation of GELU; Press & Wolf 2017, "Using the Output Embedding to
    Improve Language Models", for sharing one embedding between input and output.
    """

    takes = ("tokens",)

    name: str = "gpt"
    layers: Annotated[int, Field(ge=1, le=100)]
    """Number of blocks."""
    heads: Annotated[int, Field(ge=1, le=1_000)]
    """Number of attention heads in a block."""
    width: Width
    """Size of a token's vector, which must be a multiple of `heads`."""
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
