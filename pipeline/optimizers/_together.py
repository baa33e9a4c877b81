"""Selects the weights for Muon, and combines Muon with an optimizer for the other weights.

This module imports torch. `pipeline export` copies the functions and the class into exported code, so they may use only
`torch` and `Any`, and their lines must be at most 88 characters long.

Sources: Jordan 2024, "Muon: An optimizer for hidden layers in neural networks"
(https://kellerjordan.github.io/posts/muon/); the documentation of `torch.optim.Muon`.
"""

from typing import Any

import torch


def hidden_matrices(network: torch.nn.Module) -> list[torch.Tensor]:
    """Return the hidden matrices of a network, which are the weights that Muon trains.

    A hidden matrix is a two-dimensional weight that is not an embedding. The first
    and the last weight with more than one dimension do not count as hidden, because
    they belong to the input and the output. The list follows the order of the
    network's parameters.
    """
    named = network.named_parameters(remove_duplicate=False)
    kernels = [weight for _, weight in named if weight.ndim > 1]
    kinds = (torch.nn.Embedding, torch.nn.EmbeddingBag)
    layers = [module for module in network.modules() if isinstance(module, kinds)]
    embeddings = [layer.weight for layer in layers]
    others = {id(weight) for weight in [*kernels[:1], *kernels[-1:], *embeddings]}
    matrices = [weight for weight in network.parameters() if weight.ndim == 2]
    return [weight for weight in matrices if id(weight) not in others]


def other_weights(network: torch.nn.Module) -> list[torch.Tensor]:
    """Return the weights of a network that Muon does not train."""
    hidden = {id(weight) for weight in hidden_matrices(network)}
    return [weight for weight in network.parameters() if id(weight) not in hidden]


class Together(torch.optim.Optimizer):
    """An optimizer that combines several optimizers, with all their groups and states.

    Args:
        optimizers: the optimizers to combine, each for different weights.
            Their parameter groups are listed in the same order as the optimizers.
    """

    def __init__(self, *optimizers: torch.optim.Optimizer) -> None:
        first, *others = (optimizer.defaults for optimizer in optimizers)
        shared = [key for key in first if all(key in other for other in others)]
        groups = [group for part in optimizers for group in part.param_groups]
        super().__init__(groups, {key: first[key] for key in shared})
        self.optimizers = optimizers
        for optimizer in optimizers:
            self.state.update(optimizer.state)
        self._share()

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a state. The method `load_state_dict` calls this method."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for optimizer in self.optimizers:
            optimizer.param_groups = [next(groups) for _ in optimizer.param_groups]
            optimizer.state = self.state

    def step(self, closure: Any = None) -> Any:
        """Take a step with each optimizer. Return the loss if ``closure`` is given."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss
