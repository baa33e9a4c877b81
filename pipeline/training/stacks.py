"""One network, or a stack of small ones, behind one call: `backward`.

Where a network is so small that calling torch costs more than what it computes, a stack of sixteen takes a third of the
time of one after another. Each run keeps its own batches, optimizer and scheduler. What a run computes does not depend
on what else is in its stack, nor on how many there are, to the last bit; a test holds that.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.training.accumulation import WHOLE, Part
from pipeline.training.losses import Loss
from pipeline.training.networks import LSTM, MLP

Autocast = Callable[[], AbstractContextManager[object]]
LARGEST_STACKABLE = 2**20
"""A stack pays up to so many weights, times the examples in a batch."""


class Network(Protocol):
    """One network, or several that are trained together."""

    def backward(self, x: Tensor, y: Tensor, part: Part = WHOLE) -> Tensor:
        """Compute the gradients of each network on its own batch.

        Args:
            x: inputs, (networks, batch, ...).
            y: targets, (networks, batch).
            part: the batch's place in a step, to whose gradients its own are added.

        Returns:
            The losses, (networks,), detached.
        """
        ...


class Single:
    """One network.

    Args:
        network: any module.
        loss: what it is trained to make small.
        autocast: what outputs and losses are computed in.
    """

    def __init__(self, network: nn.Module, loss: Loss, autocast: Autocast = nullcontext) -> None:
        self.network, self.loss, self._autocast = network, loss, autocast

    def backward(self, x: Tensor, y: Tensor, part: Part = WHOLE) -> Tensor:
        """Compute the gradients; see `Network`."""
        if part.begins:
            self.network.zero_grad()
        with self._autocast():
            loss = self.loss.of(self.network(x[0]), y[0])
        self.loss.scaled(loss, part.share).backward()
        return loss.detach()[None]


class Stack:
    """Several networks of one shape, the forward and backward pass of all as one call of torch each.

    Their weights are held in one tensor each, of which the networks' own become views.

    Args:
        networks: alike but for their weights.
        loss: what they are trained to make small.
        autocast: what outputs and losses are computed in.
    """

    def __init__(self, networks: Sequence[MLP], loss: Loss, autocast: Autocast = nullcontext) -> None:
        self._layers, self._loss, self._autocast = list(networks[0].layers), loss, autocast
        each = [list(network.parameters()) for network in networks]
        self._weights = [
            torch.stack([weight.detach() for weight in of]).requires_grad_() for of in zip(*each, strict=True)
        ]
        self._gradients = [torch.zeros_like(weight) for weight in self._weights]
        for index, weights in enumerate(each):
            for weight, stacked, gradients in zip(weights, self._weights, self._gradients, strict=True):
                weight.data = stacked.detach()[index]
                if weight.grad is not None:  # of a step that a checkpoint was written in
                    gradients[index] = weight.grad
                weight.grad = gradients[index]

    def backward(self, x: Tensor, y: Tensor, part: Part = WHOLE) -> Tensor:
        """Compute the gradients; see `Network`."""
        with self._autocast():
            losses = self._losses(x, y)
        found = torch.autograd.grad(self._loss.scaled(losses.sum(), part.share), self._weights)
        for gradient, new in zip(self._gradients, found, strict=True):
            if part.begins:
                gradient.copy_(new)
            else:
                gradient.add_(new)
        return losses.detach()

    def _losses(self, x: Tensor, y: Tensor) -> Tensor:
        states, weights = x, iter(self._weights)
        for layer in self._layers:
            if isinstance(layer, nn.Linear):
                weight, bias = next(weights), next(weights)
                states = torch.baddbmm(bias[:, None], states, weight.mT)
            elif isinstance(layer, nn.Flatten):
                states = states.flatten(2)
            else:  # an activation works on each number by itself
                states = layer(states)
        return self._loss.stacked(states, y)


def together(networks: Sequence[nn.Module], batch_size: int, loss: Loss, autocast: Autocast = nullcontext) -> Network:
    """Put the networks of runs that are trained together behind one `backward`.

    Args:
        networks: one of any kind, or several that are `stackable`.
        batch_size: examples in a batch.
        loss: what they are trained to make small.
        autocast: what outputs and losses are computed in.
    """
    small = [network for network in networks if isinstance(network, MLP) and stackable(network, batch_size)]
    if small:
        assert len(small) == len(networks), "only networks that are stackable are trained together"
        return Stack(small, loss, autocast)
    (network,) = networks
    return Single(network, loss, autocast)


def stackable(network: nn.Module, batch_size: int) -> bool:
    """Return True if runs of such a network train as a stack, even one alone: calling torch is most of its cost.

    It depends on the run and on nothing else, as a stack's bits differ from those of a network by itself.
    """
    weights = sum(weight.numel() for weight in network.parameters())
    return isinstance(network, MLP) and weights * batch_size <= LARGEST_STACKABLE


def thread_invariant(network: nn.Module, batch_size: int) -> bool:
    """Return True if several threads make a run faster and leave its bits as they are.

    Convolutions are not: each thread adds up the gradients of its own examples. Nothing is known of user models.
    """
    return isinstance(network, MLP | LSTM) and not stackable(network, batch_size)
