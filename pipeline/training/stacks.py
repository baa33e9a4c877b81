"""One network, or a stack of several, behind one call: `backward`.

Where a network is so small that calling torch costs more than what it computes, a stack of sixteen takes a third of the
time of one after another. Each run keeps its own batches, optimizer and scheduler. What a run computes does not depend
on what else is in its stack, nor on how many there are, to the last bit: where torch computes otherwise for some
numbers of networks, idle copies fill the stack up to one where it does not. Tests hold that.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from pipeline.losses import Loss
from pipeline.networks.networks import LSTM, MLP
from pipeline.training.accumulation import WHOLE, Part

Autocast = Callable[[], AbstractContextManager[object]]
OfRun = TypeVar("OfRun")
DENSE = 2**20
"""A stack of dense layers pays up to so many weights, times the examples in a batch."""


class Network(Protocol):
    """One network, or several that are trained together."""

    draws: bool
    """True if random numbers are drawn in a way that a CUDA graph cannot record."""

    def filled(self, each: Sequence[OfRun]) -> Sequence[OfRun]:
        """Return what each run has, and again what the first has for each idle copy."""
        ...

    def backward(self, x: Tensor, y: Tensor, part: Part = WHOLE) -> Tensor:
        """Compute the gradients of each network on its own batch.

        Args:
            x: inputs, (networks, batch, ...), those of idle copies among them.
            y: targets, (networks, batch).
            part: the batch's place in a step, to whose gradients its own are added.

        Returns:
            The losses, (runs,), detached.
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
        self.draws = False

    def filled(self, each: Sequence[OfRun]) -> Sequence[OfRun]:
        """Return the same: there are no idle copies."""
        return each

    def backward(self, x: Tensor, y: Tensor, part: Part = WHOLE) -> Tensor:
        """Compute the gradients; see `Network`."""
        if part.begins:  # on a GPU gradients keep their place in memory, which a recorded step knows
            self.network.zero_grad(set_to_none=x.device.type == "cpu")
        with self._autocast():
            loss = self.loss.of(self.network(x[0]), y[0])
        self.loss.scaled(loss, part.share).backward()
        return loss.detach()[None]


class Stack:
    """Several networks of one shape, the forward and backward pass of all as one call of torch each.

    Their weights and buffers are held in one tensor each, of which the networks' own become views.

    Args:
        networks: alike but for their weights.
        loss: what they are trained to make small.
        autocast: what outputs and losses are computed in.
        generators: what each network draws random numbers from.
        least: idle copies of the first fill the stack up to so many.
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
        self.idle, self.draws = max(least - len(networks), 0), False
        each = [dict(network.named_parameters()) for network in networks]
        self.weights = {
            name: self._stacked([of[name].detach() for of in each]).requires_grad_(weight.requires_grad)
            for name, weight in each[0].items()
        }
        self._trained = [name for name, weight in self.weights.items() if weight.requires_grad]
        self._gradients = {name: torch.zeros_like(self.weights[name]) for name in self._trained}
        for index, of in enumerate(each):
            for name, weight in of.items():
                weight.data = self.weights[name].detach()[index]
                if name in self._gradients:
                    if weight.grad is not None:  # of a step that a checkpoint was written in
                        self._gradients[name][index] = weight.grad
                    weight.grad = self._gradients[name][index]

    def _stacked(self, each: Sequence[Tensor]) -> Tensor:
        return torch.stack(self.filled(each))

    def filled(self, each: Sequence[OfRun]) -> list[OfRun]:
        """Return what each run has, and again what the first has for each idle copy."""
        return [*each, *[each[0]] * self.idle]

    def backward(self, x: Tensor, y: Tensor, part: Part = WHOLE) -> Tensor:
        """Compute the gradients; see `Network`."""
        with self._autocast():
            losses = self.losses(x, y)
        weights = [self.weights[name] for name in self._trained]
        found = torch.autograd.grad(self.loss.scaled(losses.sum(), part.share), weights, allow_unused=True)
        gradients: Iterable[Tensor | None] = found
        for name, new in zip(self._trained, gradients, strict=True):
            if new is None:
                self._forget(name)
            elif part.begins:
                self._gradients[name].copy_(new)
            else:
                self._gradients[name].add_(new)
        return losses.detach()[: len(self.networks)]

    def _forget(self, name: str) -> None:
        """Let an optimizer see, as it does with one network, that a weight has no part in the loss."""
        for network in self.networks:
            network.get_parameter(name).grad = None

    @property
    def width(self) -> int:
        """Networks that are computed, idle copies among them."""
        return len(self.networks) + self.idle

    @abstractmethod
    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the losses of all networks, (networks,), those of idle copies among them; see `Network.backward`."""


def is_small(network: nn.Module, batch_size: int) -> bool:
    """Return True if a stack of dense layers pays, even of one: calling torch is most of what they cost.

    It depends on the run and on nothing else, as a stack's bits differ from those of a network by itself.
    """
    return sum(weight.numel() for weight in network.parameters()) * batch_size <= DENSE


def thread_invariant(network: nn.Module, batch_size: int) -> bool:
    """Return True if several threads make a run faster and leave its bits as they are.

    Convolutions are not: each thread adds up the gradients of its own examples. Nothing is known of user models.
    """
    return isinstance(network, LSTM) or (isinstance(network, MLP) and not is_small(network, batch_size))
