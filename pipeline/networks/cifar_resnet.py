"""The residual networks for CIFAR of He, Zhang, Ren & Sun 2016."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.networks.layout import channels_last

CHANNELS = (16, 32, 64)
"""Of the three stages; from one to the next, height and width are halved."""


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norm, and a shortcut around them that has no weights (option A).

    Where the block halves height and width, the shortcut takes every second pixel, and zeros are its new channels.
    Input (batch, before, height, width), output (batch, after, height / stride, width / stride), rounded up.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(after)
        self.second = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.second_norm = nn.BatchNorm2d(after)
        self.stride, self.new = stride, after - before

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x
        if self.stride > 1 or self.new:
            shortcut = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        states = torch.relu(self.first_norm(self.first(x)))
        return torch.relu(self.second_norm(self.second(states)) + shortcut)


class CifarResNet(nn.Module):
    """A 3 x 3 convolution, three stages of n blocks with 16, 32 and 64 channels, global average pooling, a dense layer.

    Input (batch, channels, height, width), output (batch, outputs): logits.

    Source: He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), section 4.2.
    The weights begin as in He et al. 2015, "Delving Deep into Rectifiers" (arXiv:1502.01852), equation 10: normal with
    variance 2 / inputs of a unit; biases are 0.

    Args:
        input_shape: channels, height and width.
        outputs: number of classes.
        depth: layers with weights, 6n + 2.
    """

    def __init__(self, input_shape: Sequence[int], outputs: int, depth: int) -> None:
        super().__init__()
        blocks = (depth - 2) // 6
        self.stem = nn.Conv2d(input_shape[0], CHANNELS[0], 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(CHANNELS[0])
        before, stages = CHANNELS[0], []
        for stage, channels in enumerate(CHANNELS):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            sizes = [before] + [channels] * (blocks - 1)
            stages += [Block(size, channels, stride) for size, stride in zip(sizes, strides, strict=True)]
            before = channels
        self.blocks = nn.Sequential(*stages)
        self.output = nn.Linear(before, outputs)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(self.output.bias)

    def forward(self, x: Tensor) -> Tensor:
        states = self.blocks(torch.relu(self.stem_norm(self.stem(channels_last(x)))))
        logits: Tensor = self.output(states.mean(dim=(2, 3)))
        return logits
