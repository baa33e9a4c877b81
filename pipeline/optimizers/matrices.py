"""Muon beside another optimizer: which weights it gets, and how the two are one. Imports torch.

Sources: Jordan 2024, "Muon: An optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/); the documentation of `torch.optim.Muon`.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


def hidden_matrices(network: nn.Module) -> list[Tensor]:
    """Return the weights of a network that Muon is made for, in the network's order.

    These are the matrices, that is weights of two dimensions, but for embeddings and for the first and the last weight
    of more than one dimension, which belong to the input and to the output. Gains, biases and the kernels of
    convolutions are no matrices. Order is that in which the network defines its layers.
    """
    kernels = [weight for _, weight in network.named_parameters(remove_duplicate=False) if weight.ndim > 1]
    embeddings = [each.weight for each in network.modules() if isinstance(each, nn.Embedding | nn.EmbeddingBag)]
    others = {id(weight) for weight in [*kernels[:1], *kernels[-1:], *embeddings]}
    return [weight for weight in network.parameters() if weight.ndim == 2 and id(weight) not in others]


class Together(Optimizer):
    """Several optimizers as one: a scheduler and a checkpoint find the parameter groups and the state of all.

    Args:
        optimizers: each of other weights. The first counts where only one can, as for the rate that is recorded.
    """

    def __init__(self, *optimizers: Optimizer) -> None:
        first, *others = (each.defaults for each in optimizers)
        common = {key: value for key, value in first.items() if all(key in other for other in others)}
        super().__init__([group for each in optimizers for group in each.param_groups], common)
        self.optimizers = optimizers
        for each in optimizers:
            self.state.update(each.state)
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, as `load_state_dict` asks for."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for each in self.optimizers:
            each.param_groups = [*islice(groups, len(each.param_groups))]
            each.state = self.state

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Let each update its weights; ``closure`` computes the loss before."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for each in self.optimizers:
            each.step()
        return loss
