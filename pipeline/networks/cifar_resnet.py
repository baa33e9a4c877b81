"""The residual networks for CIFAR-10 from He, Zhang, Ren & Sun 2016."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field

from pipeline.networks.base import Model

if TYPE_CHECKING:
    from torch import nn

CHANNELS = (16, 32, 64)
"""Number of channels in each of the three stages. The second and third stages each halve the height and the width."""


def _depth(depth: int) -> int:
    below = max(8, depth - (depth - 2) % 6)
    if depth != below:
        nearest = "8" if depth < below else f"{below} and {below + 6}"
        raise ValueError(f"{depth} is not 6n + 2 layers; nearest: {nearest}; the paper has 20, 32, 44, 56, 110")
    return depth


class CifarResNet(Model):
    """A 3 x 3 convolution, three stages of n blocks (16, 32, 64 channels), global average pooling and a dense layer.

    Input: pictures of shape (batch, channels, height, width). Output: logits of shape (batch, outputs).

    The initial weights follow He et al. 2015, "Delving Deep into Rectifiers" (arXiv:1502.01852), equation 10: they are
    normally distributed with variance 2 / (number of inputs of a unit).

    Source: He, Zhang, Ren & Sun 2016, "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), section 4.2.
    """

    is_deep = True

    name: str = "cifar-resnet"
    depth: Annotated[int, Field(le=1202), AfterValidator(_depth)] = 20
    """Number of layers with weights. It must be 6n + 2, where n is the number of blocks in each stage."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from torch import nn

        from pipeline.networks.modules import ChannelsLast, GlobalAveragePool, ResidualBlock

        blocks = (self.depth - 2) // 6
        stem = nn.Conv2d(input_shape[0], CHANNELS[0], 3, padding=1, bias=False)
        before, stages = CHANNELS[0], list[nn.Module]()
        for stage, channels in enumerate(CHANNELS):
            strides = [1 if stage == 0 else 2] + [1] * (blocks - 1)
            sizes = [before] + [channels] * (blocks - 1)
            stages += [ResidualBlock(size, channels, stride) for size, stride in zip(sizes, strides, strict=True)]
            before = channels
        output = nn.Linear(before, outputs)
        network = nn.Sequential(
            OrderedDict(
                channels_last=ChannelsLast(),
                stem=stem,
                stem_norm=nn.BatchNorm2d(CHANNELS[0]),
                stem_relu=nn.ReLU(),
                blocks=nn.Sequential(*stages),
                pool=GlobalAveragePool(),
                output=output,
            )
        )
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(output.bias)
        return network
