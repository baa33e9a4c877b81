"""Layers and whole networks that this package needs but torch does not provide."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod, sqrt

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pipeline.errors import UserError

DEVIATION = 0.02
"""Standard deviation of a transformer's initial weights, as in GPT-2."""


def dense(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> list[nn.Module]:
    """Return fully connected layers of the given sizes, with an activation after every layer except the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return layers[:-1]


def pixels_left(input_shape: Sequence[int]) -> int:
    """Return how many pixels of a channel are left after two 5 x 5 convolutions, each followed by 2 x 2 pooling.

    Raises:
        UserError: the pictures are so small that no pixels are left.
    """
    _, *sides = input_shape
    left = [((side - 4) // 2 - 4) // 2 for side in sides]
    if min(left) < 1:
        raise UserError(
            f"pictures of {' x '.join(map(str, sides))} pixels are too small for this model, which needs 16 x 16"
        )
    return prod(left)


def channels_last(x: Tensor) -> Tensor:
    """Convert pictures of shape (batch, channels, height, width) to the channels-last format, for faster pooling.

    Convolutions return pictures in the format of their input. Tensors inside torch's vmap are returned unchanged,
    because they cannot have the channels-last format.
    """
    return x if torch._C._functorch.is_batchedtensor(x) else x.contiguous(memory_format=torch.channels_last)


class ChannelsLast(nn.Module):
    """A layer that converts pictures to the channels-last format."""

    def forward(self, x: Tensor) -> Tensor:
        return channels_last(x)


class MaxPool(nn.MaxPool2d):
    """Max pooling in the channels-last format, which is about ten times as fast as in the usual format."""

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = super().forward(channels_last(x))
        return pooled


class GlobalAveragePool(nn.Module):
    """A layer that returns the mean of each channel.

    Input: pictures of shape (batch, channels, height, width). Output: means of shape (batch, channels).
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=(2, 3))


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions with batch norm, and a shortcut without weights (option A of He et al. 2016).

    If the block halves the height and the width, the shortcut takes every second pixel in both directions. If the block
    adds channels, the shortcut fills the new channels with zeros.

    The input has the shape (batch, before, height, width). The output has the shape (batch, after, height / stride,
    width / stride), with the height and the width rounded up.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.stride, self.new_channels = stride, after - before

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.stride > 1 or self.new_channels:
            shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))
        states = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(states)) + shortcut)


class BidirectionalLSTM(nn.Module):
    """The network that the class `LSTM` builds.

    Input: word numbers of shape (batch, length), padded with 0. Output: logits of shape (batch, outputs).

    This network gives the same results as torch's bidirectional LSTM on a packed sequence. However, training torch's
    LSTM on packed texts of different lengths is several times slower on a CPU. This network therefore has a separate
    LSTM for each direction of each layer.
    """

    def __init__(
        self, vocabulary_size: int, outputs: int, *, embedding: int, hidden: int, layers: int, dropout: float
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=0)
        sizes = [embedding] + [2 * hidden] * (layers - 1)
        self.forwards, self.backwards = (
            nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes) for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(dim=1).clamp(min=1)
        positions = torch.arange(x.shape[1], device=x.device)
        reverse = lengths[:, None] - 1 - positions
        reverse = torch.where(reverse >= 0, reverse, positions)[:, :, None]  # padding stays at the end
        states = self.embedding(x)
        for number, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            if number > 0:
                states = self.dropout(states)
            ahead, _ = forwards(states)
            behind, _ = backwards(states.gather(1, reverse.expand_as(states)))
            states = torch.cat([ahead, behind.gather(1, reverse.expand_as(behind))], dim=2)
        last = (lengths - 1)[:, None, None].expand(-1, 1, ahead.shape[2])
        ends = torch.cat([ahead.gather(1, last), behind.gather(1, last)], dim=2).squeeze(1)
        logits: Tensor = self.output(self.dropout(ends))
        return logits


class Attention(nn.Module):
    """Causal multi-head self-attention. The input and the output have the shape (batch, length, width)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.inputs = nn.Linear(width, 3 * width)
        """The layer that computes the queries, the keys and the values."""
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        split = self.inputs(x).view(batch, length, 3, self.heads, width // self.heads)
        queries, keys, values = split.permute(2, 0, 3, 1, 4)  # all of shape (batch, heads, length, width / heads)
        dropout = self.dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout, is_causal=True)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(batch, length, width))
        return output


class TransformerBlock(nn.Module):
    """Attention and an MLP, each with a residual connection.

    The input and the output have the shape (batch, length, width).
    """

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


class Decoder(nn.Module):
    """The network that the class `GPT` builds: transformer blocks between the embedding and its transpose.

    Input: tokens of shape (batch, length), where the length is at most the context. Output: logits of shape (batch,
    length, vocabulary).
    """

    def __init__(
        self, context: int, vocabulary_size: int, *, layers: int, heads: int, width: int, dropout: float
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary_size, width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        # Muon skips a network's last matrix. The positions are defined last to keep that matrix outside the blocks.
        self.positions = nn.Embedding(context, width)
        self._initialise(layers)

    def _initialise(self, layers: int) -> None:
        """Draw the initial weights as in section 2.3 of the GPT-2 paper.

        The more blocks there are, the smaller the initial weights of each block's output layers are.
        """
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
