"""Runs that are trained together: the forward and backward passes of networks of one shape as one call of torch each.

Where a network is so small that calling torch costs more than what it computes, a stack of sixteen takes a third of the
time of one after another. Each run keeps its own batches, optimizer and scheduler. What a run computes does not depend
on what else is in its stack, nor on how many there are, to the last bit; a test holds that.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.training.losses import Loss
from pipeline.training.networks import MLP

SMALL = 2**20
"""Up to how many weights, times examples in a batch, a stack pays."""


class Stack:
    """The weights of several networks in one tensor each, of which theirs become views.

    Args:
        networks: alike but for their weights.
        loss: what they are trained to make small.
    """

    def __init__(self, networks: Sequence[MLP], loss: Loss) -> None:
        self._layers, self._loss = list(networks[0].layers), loss
        each = [list(network.parameters()) for network in networks]
        self._weights = [
            torch.stack([weight.detach() for weight in of]).requires_grad_() for of in zip(*each, strict=True)
        ]
        self._gradients = [torch.zeros_like(weight) for weight in self._weights]
        for place, weights in enumerate(each):
            for weight, stacked, gradients in zip(weights, self._weights, self._gradients, strict=True):
                weight.data = stacked.detach()[place]
                weight.grad = gradients[place]

    def gradients(self, x: Tensor, y: Tensor) -> Tensor:
        """Compute each network's gradients on its own batch, and answer with the losses, (networks,).

        Args:
            x: inputs, (networks, batch, ...).
            y: targets, (networks, batch).
        """
        states, weights = x, iter(self._weights)
        for layer in self._layers:
            if isinstance(layer, nn.Linear):
                weight, bias = next(weights), next(weights)
                states = torch.baddbmm(bias[:, None], states, weight.mT)
            else:  # flattens each example, or is of each number by itself
                states = states.flatten(2) if isinstance(layer, nn.Flatten) else layer(states)
        losses = self._loss.stacked(states, y)
        found = torch.autograd.grad(losses.sum(), self._weights)
        for gradient, new in zip(self._gradients, found, strict=True):
            gradient.copy_(new)
        return losses.detach()
