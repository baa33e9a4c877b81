"""Stacks of arbitrary networks: `vmap` maps the forward pass of one network over the weights of all networks."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.training.generators import drawing_from
from pipeline.training.stacks import Stack


class MappedStack(Stack):
    """A stack of networks of any kind that `torch.func.vmap` supports; see `Stack`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        by_network = [dict(network.named_buffers()) for network in self.networks]
        self._buffers = {name: self._stacked([buffers[name] for buffers in by_network]) for name in by_network[0]}
        for index, buffers in enumerate(by_network):
            for name, buffer in buffers.items():
                buffer.data = self._buffers[name][index]
        self._first = self.networks[0]

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        def loss_of_one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss.of(functional_call(self._first, (weights, buffers), (x,)), y)

        with DrawsByNetwork(self.generators, self.idle) as draws, mappable_attention(x.device):
            losses: Tensor = vmap(loss_of_one, randomness="different")(self.weights, self._buffers, x, y)
        self.draws = draws.has_drawn
        return losses


def mappable_attention(device: torch.device) -> AbstractContextManager[None]:
    """Return a context in which `vmap` supports attention; on a CPU, attention must use plain matrix products."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


class DrawsByNetwork(TorchDispatchMode):
    """A mode in which each network of a stack draws random numbers from its own generator.

    Without this mode, `vmap` would draw the numbers of all networks at once, and each network's numbers would depend on
    the whole stack.

    Args:
        generators: a generator for each network.
        idle: the number of idle copies, which get the same random numbers as the first network.
    """

    def __init__(self, generators: Sequence[torch.Generator], idle: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generators, self._idle = generators, idle
        self.has_drawn = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operation; if it draws random numbers, call it once for each network.

        The first argument of an operation that draws random numbers must be a tensor with a part for each network, or
        the size of such a tensor.
        """
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        self.has_drawn = True
        networks = len(self._generators) + self._idle
        first, *rest = args
        if isinstance(first, Tensor) and first.ndim > 0 and len(first) == networks:
            parts: Any = list(first.unbind())
        elif isinstance(first, list | tuple) and first and first[0] == networks:
            parts = [first[1:]] * networks
        else:
            raise NotImplementedError(f"{func} draws random numbers for no particular network")
        drawn = []
        for part, generator in zip(parts, self._generators, strict=False):
            with drawing_from(generator):
                drawn.append(func(part, *rest, **kwargs))
        if isinstance(first, Tensor) and drawn[0].data_ptr() == parts[0].data_ptr():  # in place
            for part in parts[len(drawn) :]:
                part.copy_(drawn[0])
            return first
        return torch.stack(drawn + [drawn[0]] * self._idle)
