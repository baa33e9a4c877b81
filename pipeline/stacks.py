"""Runs that are trained together: the forward and backward passes of networks of one shape as one call of torch each.

Where a network is so small that calling torch costs more than what it computes, a stack of sixteen takes a third of the
time of one after another. Each run keeps its own batches, optimizer and scheduler. What a run computes does not depend
on what else is in its stack, nor on how many there are, to the last bit; a test holds that.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from pipeline.losses import Loss

SMALL = 2**20
"""Up to how many weights, times examples in a batch, a stack pays."""


class Stack:
    """The weights of several networks in one tensor each, of which theirs become views.

    Args:
        networks: alike but for their weights; without random numbers or buffers in them.
        loss: what they are trained to make small.
    """

    def __init__(self, networks: Sequence[nn.Module], loss: Loss) -> None:
        each = [dict(network.named_parameters()) for network in networks]
        self._weights = {
            name: torch.stack([weights[name].detach() for weights in each]).requires_grad_() for name in each[0]
        }
        self._gradients = {name: torch.zeros_like(weight) for name, weight in self._weights.items()}
        for place, weights in enumerate(each):
            for name, weight in weights.items():
                weight.data = self._weights[name].detach()[place]
                weight.grad = self._gradients[name][place]
        shape = networks[0]

        def loss_of(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return loss.of(functional_call(shape, weights, (x,)), y)

        self._losses = vmap(loss_of)

    def gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute each network's gradients on its own batch, and answer with the losses, (networks,).

        Args:
            x: inputs, (networks, batch, ...).
            y: targets, (networks, batch).
        """
        losses: Tensor = self._losses(self._weights, x, y)
        found = torch.autograd.grad(losses.sum(), list(self._weights.values()))
        for gradient, new in zip(self._gradients.values(), found, strict=True):
            gradient.copy_(new)
        return losses.detach()
