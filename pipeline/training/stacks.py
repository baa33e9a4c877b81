"""Stacks, which compute several networks of the same shape in one forward and one backward pass.

If a network is so small that calling torch takes longer than the computation itself, sixteen runs train three times as
fast in a stack as they do one by one. Each run keeps its own batches, optimizer and scheduler. The other runs in a
stack do not change a single bit of a run's results; tests check this. If torch would choose different kernels for fewer
networks, idle copies of the first network fill up the stack.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from pipeline.losses import Loss
from pipeline.training.accumulation import WHOLE_STEP, MicroBatch

Autocast = Callable[[], AbstractContextManager[object]]


class Stack:
    """Several networks of the same shape. Each subclass computes the losses in its own way.

    For each weight, the stack holds one tensor with its values in all networks, and one tensor with its gradients. The
    weights and gradients of each network become views of these tensors, so the network's own optimizer still works.

    Args:
        networks: networks that differ only in their weights.
        autocast: returns the context for computing outputs and losses.
        generators: a random number generator for each network.
        least: the minimum width; idle copies of the first network fill up a narrower stack.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        loss: Loss,
        autocast: Autocast,
        generators: Sequence[torch.Generator],
        least: int = 1,
    ) -> None:
        self.networks, self.loss, self.generators = list(networks), loss, list(generators)
        self._autocast = autocast
        self.idle = max(least - len(networks), 0)
        """The number of idle copies."""
        self.draws = False
        """True if the networks draw random numbers in a way that a CUDA graph cannot record."""
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
                    if weight.grad is not None:  # the run was resumed in the middle of a step
                        self._gradients[name][index] = weight.grad
                    weight.grad = self._gradients[name][index]

    @property
    def width(self) -> int:
        """The number of networks that the stack computes, including idle copies."""
        return len(self.networks) + self.idle

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the losses of all networks, (networks,), including idle copies."""
        raise NotImplementedError

    def backward(self, x: Tensor, y: Tensor, part: MicroBatch = WHOLE_STEP) -> Tensor:
        """Compute the gradients of each run's network on its own batch.

        Args:
            x: inputs, (runs, batch, ...).
            y: targets, (runs, batch).
            part: the place of the batch in its step.

        Returns:
            The detached losses, (runs,).
        """
        if self.idle:
            x, y = (torch.cat([batches, *[batches[:1]] * self.idle]) for batches in (x, y))
        with self._autocast():
            losses = self.losses(x, y)
        weights = [self.weights[name] for name in self._trained]
        loss = self.loss.scaled(losses.sum(), part.share)
        gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, weights, allow_unused=True)
        for name, gradient in zip(self._trained, gradients, strict=True):
            if gradient is None:  # the loss does not depend on the weight
                for network in self.networks:
                    network.get_parameter(name).grad = None
            elif part.begins_step:
                self._gradients[name].copy_(gradient)
            else:
                self._gradients[name].add_(gradient)
        return losses.detach()[: len(self.networks)]

    def _stacked(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the tensors of all runs as one tensor; the first run's tensor is repeated for each idle copy."""
        return torch.stack([*tensors, *[tensors[0]] * self.idle])
