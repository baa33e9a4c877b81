"""A decoder-only transformer, which predicts the next token of each token of a text.

Sources: Vaswani et al. 2017, "Attention Is All You Need"; Radford et al. 2019, "Language Models are Unsupervised
Multitask Learners" (GPT-2), section 2.3: layer normalisation before each part of a block and after the last block,
learned positions, GELU in the tanh approximation that its code has; Press & Wolf 2017, "Using the Output Embedding to
Improve Language Models": input and output share their embedding. Written after karpathy/nanoGPT's model.py.
"""

from collections.abc import Sequence
from math import sqrt

import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

DEVIATION = 0.02
"""Standard deviation of initial weights, as in GPT-2."""


class Attention(nn.Module):
    """Causal self-attention with several heads. Input and output (batch, length, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.inputs = nn.Linear(width, 3 * width)
        """Queries, keys and values."""
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = self.inputs(x).view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, width of a head)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=True)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return output


class Block(nn.Module):
    """Attention and a perceptron, each added to what it gets. Input and output (batch, length, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, dropout)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.attention_norm(x)))
        added: Tensor = self.dropout(self.mlp(self.mlp_norm(x)))
        return x + added


class GPT(nn.Module):
    """A stack of blocks between an embedding and its transpose.

    Input (batch, length), tokens, at most as many as the context; output (batch, length, vocabulary), logits.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        layers: int,
        heads: int,
        width: int,
        dropout: float,
        vocabulary_size: int,
    ) -> None:
        super().__init__()
        (context,) = input_shape
        self.tokens = nn.Embedding(vocabulary_size, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(Block(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        # The first and the last matrix belong to no block, so that Muon, which leaves those alone, gets all of a block.
        self.positions = nn.Embedding(context, width)
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        """Draw the weights as GPT-2 does: what a block adds is smaller the more blocks there are (section 2.3)."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=DEVIATION)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        for name, weight in self.named_parameters():
            if name.endswith(("attention.output.weight", "mlp.2.weight")):
                nn.init.normal_(weight, std=DEVIATION / sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        states = self.dropout(self.tokens(x) + self.positions.weight[: x.shape[1]])
        for block in self.blocks:
            states = block(states)
        return F.linear(self.norm(states), self.tokens.weight)
