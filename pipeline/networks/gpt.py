"""A decoder-only transformer, which predicts the next token."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from pipeline.networks.base import Dropout, Model, Width

if TYPE_CHECKING:
    from torch import nn


class GPT(Model):
    """A decoder-only transformer, written after karpathy/nanoGPT's model.py.

    Input (batch, length): tokens, at most as many as the context; output (batch, length, vocabulary): logits.

    Source: Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2019, "Language Models are Unsupervised
    Multitask Learners" (GPT-2), section 2.3: layer normalisation before each part of a block and after the last block,
    learned positions, GELU in the tanh approximation of GPT-2's code; Press & Wolf 2017, "Using the Output Embedding to
    Improve Language Models": input and output share their embedding.
    """

    takes = ("tokens",)

    name: str = "gpt"
    layers: Annotated[int, Field(ge=1, le=100)]
    """Number of blocks."""
    heads: Annotated[int, Field(ge=1, le=1_000)]
    """Attention heads of a block."""
    width: Width
    """Dimensions of a token's vector; a multiple of `heads`."""
    dropout: Dropout = 0.0
    """Dropout of attention, of what each block adds, and of the embedding."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "GPT":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from pipeline.networks.modules import Decoder

        (context,) = input_shape
        return Decoder(self, context, vocabulary_size)
