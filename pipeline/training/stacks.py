"""Stacks: several networks of one shape, whose forward and backward passes are one call of torch each.

If a network is so small that calling torch costs more than computing, a stack of sixteen takes a third of the time of
one after another. Each run keeps its own batches, optimizer and scheduler. To the last bit, the results of a run depend
neither on the other runs in its stack nor on their number: if torch chooses other kernels for some numbers of networks,
idle copies fill the stack. Tests hold that.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from pipeline.losses import Loss
from pipeline.training.accumulation import WHOLE_STEP, MicroBatch

Autocast = Callable[[], AbstractContextManager[object]]


class Stack:
    """Several networks of one shape. A subclass computes their losses.

    Weights and buffers of all networks are one tensor each; the networks' own become views of it.

    Args:
        networks: networks that differ in their weights only.
        loss: the loss that training minimises.
        autocast: context in which outputs and losses are computed.
        generators: a generator of random numbers for each network.
        least: idle copies of the first network fill the stack up to this width.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        loss: Loss,
        autocast: Autocast = nullcontext,
        generators: Sequence[torch.Generator | None] = (),
        least: int = 1,
    ) -> None:
        self.networks, self.loss, self._autocast = list(networks), loss, autocast
        self.generators = list(generators) or [None] * len(networks)
        self.idle = max(least - len(networks), 0)
        """Number of idle copies."""
        self.draws = False
        """True if random numbers are drawn in a way that a CUDA graph cannot record."""
        by_network = [dict(network.named_parameters()) for network in networks]
        self.weights = {
            name: self._stacked([weights[name].detach() for weights in by_network]).requires_grad_(weight.requires_grad)
            for name, weight in by_network[0].items()
        }
        self._trained = [name for name, weight in self.weights.items() if weight.requires_grad]
        self._gradients = {name: torch.zeros_like(self.weights[name]) for name in self._trained}
        for index, weights in enumerate(by_network):
            for name, weight in weights.items():
                weight.data = self.weights[name].detach()[index]
                if name in self._gradients:
                    if weight.grad is not None:  # a checkpoint was written in the middle of a step
                        self._gradients[name][index] = weight.grad
                    weight.grad = self._gradients[name][index]

    @property
    def width(self) -> int:
        """Number of networks that are computed, idle copies included."""
        return len(self.networks) + self.idle

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the losses of all networks, (networks,), idle copies included."""
        raise NotImplementedError

    def backward(self, x: Tensor, y: Tensor, part: MicroBatch = WHOLE_STEP) -> Tensor:
        """Compute the gradients of each network on its own batch.

        Args:
            x: inputs, (networks, batch, ...), those of idle copies included.
            y: targets, (networks, batch).
            part: place of the batch in its step.

        Returns:
            The losses, (runs,), detached.
        """
        with self._autocast():
            losses = self.losses(x, y)
        weights = [self.weights[name] for name in self._trained]
        loss = self.loss.scaled(losses.sum(), part.share)
        gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, weights, allow_unused=True)
        for name, gradient in zip(self._trained, gradients, strict=True):
            if gradient is None:
                self._clear_gradient(name)
            elif part.begins_step:
                self._gradients[name].copy_(gradient)
            else:
                self._gradients[name].add_(gradient)
        return losses.detach()[: len(self.networks)]

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        """Stack a tensor of each network, and the first again for each idle copy."""
        return torch.stack([*tensors, *[tensors[0]] * self.idle])

    def _clear_gradient(self, name: str) -> None:
        """Let optimizers see, as with a single network, that a weight has no part in the loss."""
        for network in self.networks:
            network.get_parameter(name).grad = None
