"""Stacks of networks that are a row of layers, which torch computes faster than what `torch.func` makes of them.

Dense layers are one batched product. Convolutions are one grouped convolution in the channels-last format, in which the
channels of all networks lie side by side: on a CPU a stack of LeNets with batches of four takes a third of the time of
one after another, and what `vmap` makes of them takes half.
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from pipeline.networks.networks import CNN, MLP, LeNet, MaxPool
from pipeline.training.stacks import Stack

ELEMENTWISE = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.LeakyReLU, nn.ELU, nn.Softplus, nn.Identity)
"""Layers that work on each number by itself."""
POOLING = (MaxPool, nn.MaxPool2d, nn.AvgPool2d)
"""Layers that work on each channel by itself."""
KNOWN = (nn.Linear, nn.Conv2d, nn.Flatten, nn.Dropout, nn.LogSoftmax, *ELEMENTWISE, *POOLING)


def row(network: nn.Module) -> list[nn.Module]:
    """Return the layers of a network whose forward pass is these, one after another; none if it is anything else."""
    if type(network) is nn.Sequential:
        parts = list(network)
    elif isinstance(network, MLP | LeNet | CNN):
        parts = network.row()
    else:
        return [network] if _is_known(network) else []
    rows = [row(part) for part in parts]
    return [*chain.from_iterable(rows)] if all(rows) and not _has_hooks(network) else []


def is_dense(layers: Sequence[nn.Module]) -> bool:
    """Return True if there is no convolution among some layers."""
    return not any(isinstance(layer, nn.Conv2d) for layer in layers)


def _is_known(layer: nn.Module) -> bool:
    """Return True if a `Row` computes what the layer does."""
    if type(layer) not in KNOWN or _has_hooks(layer):
        return False
    if isinstance(layer, nn.Conv2d):
        return layer.groups == 1 and layer.padding_mode == "zeros"
    if isinstance(layer, nn.MaxPool2d):
        return not layer.return_indices
    if isinstance(layer, nn.Flatten):
        return (layer.start_dim, layer.end_dim) == (1, -1)
    return not isinstance(layer, nn.LogSoftmax) or layer.dim == -1


def _has_hooks(module: nn.Module) -> bool:
    """Return True if the user's own code runs at each call; parametrizations are modules of another type."""
    return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks))


class _States:
    """What one layer hands to the next.

    Args:
        x: (networks, batch, ...).
        networks: how many.
    """

    def __init__(self, x: Tensor, networks: int) -> None:
        self.x, self.networks = x, networks
        self._is_by_channel = False
        self.format = torch.contiguous_format
        """That of one network's pictures by itself: in this order it draws random numbers for them."""

    def by_network(self) -> Tensor:
        """Return (networks, batch, ...)."""
        if self._is_by_channel:
            self.x = self.x.unflatten(1, (self.networks, -1)).transpose(0, 1)
            self._is_by_channel = False
        return self.x

    def by_channel(self) -> Tensor:
        """Return pictures, (batch, networks * channels, height, width), channels last."""
        if not self._is_by_channel:
            self.x = self.x.transpose(0, 1).flatten(1, 2)
            self._is_by_channel = True
        return self.x.contiguous(memory_format=torch.channels_last)

    def drop(self, share: float, generators: Sequence[torch.Generator | None]) -> Tensor:
        """Return them with a ``share`` set to zero, as `nn.Dropout` does; each network draws which from its own."""
        if self._is_by_channel:
            batch, channels, *sides = self.x.shape
            like = torch.empty(batch, channels // self.networks, *sides, device=self.x.device)
            like = like.contiguous(memory_format=self.format)
        else:
            like = self.x[0]
        kept = [torch.empty_like(like).bernoulli_(1 - share, generator=each) for each in generators]
        kept += [kept[0]] * (self.networks - len(kept))
        noise = torch.cat(kept, dim=1) if self._is_by_channel else torch.stack(kept)
        return self.x * (noise if share == 1 else noise.div_(1 - share))


class Row(Stack):
    """Networks that are a row of layers; see `Stack`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        names = {id(weight): name for name, weight in self.networks[0].named_parameters()}
        self._layers = [
            (layer, names.get(id(getattr(layer, "weight", None)), ""), names.get(id(getattr(layer, "bias", None)), ""))
            for layer in row(self.networks[0])
        ]
        self.draws = any(isinstance(layer, nn.Dropout) for layer, *_ in self._layers)

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the losses; see `Stack`."""
        states = _States(x, self.width)
        for layer, weight, bias in self._layers:
            if isinstance(layer, nn.Linear):
                states.x = self._dense(weight, bias, states.by_network())
            elif isinstance(layer, nn.Conv2d):
                states.x = self._convolved(layer, weight, bias, states.by_channel())
            elif isinstance(layer, POOLING):
                states.x = layer(states.by_channel())
                states.format = torch.channels_last if isinstance(layer, MaxPool) else states.format
            elif isinstance(layer, nn.Flatten):
                states.x = states.by_network().flatten(2)
            elif isinstance(layer, nn.Dropout):
                states.x = states.drop(layer.p, self.generators) if layer.training else states.x
            else:
                states.x = layer(states.x)
        return self.loss.stacked(states.by_network(), y)

    def _dense(self, weight: str, bias: str, x: Tensor) -> Tensor:
        matrices = self.weights[weight].mT
        return torch.baddbmm(self.weights[bias][:, None], x, matrices) if bias else torch.bmm(x, matrices)

    def _convolved(self, layer: nn.Conv2d, weight: str, bias: str, x: Tensor) -> Tensor:
        kernels, biases = self.weights[weight].flatten(0, 1), self.weights[bias].flatten() if bias else None
        groups = self.width
        return F.conv2d(x, kernels, biases, layer.stride, layer.padding, layer.dilation, groups)
