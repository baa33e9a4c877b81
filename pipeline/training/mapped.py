"""Stacks of any networks, by `torch.func`: the forward pass of one, mapped over the weights of all."""

import copy
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.training.generators import drawing_from
from pipeline.training.losses import Loss
from pipeline.training.stacks import Autocast, Single, Stack

SLOW = "There is a performance drop"
"""What torch warns of where it maps an operation one network at a time."""


class Mapped(Stack):
    """Networks of any kind that `vmap` takes; see `Stack`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        each = [dict(network.named_buffers()) for network in self.networks]
        self._buffers = {name: torch.stack(self.filled([of[name] for of in each])) for name in each[0]}
        for index, of in enumerate(each):
            for name, buffer in of.items():
                buffer.data = self._buffers[name][index]
        self._first = self.networks[0]

    def losses(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the losses; see `Stack`."""

        def of_one(weights: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
            return self.loss.of(functional_call(self._first, (weights, buffers), (x,)), y)

        with Draws(self.generators, self.idle) as draws, attention(x.device):
            losses: Tensor = vmap(of_one, randomness="different")(self.weights, self._buffers, x, y)
        self.draws = draws.drew
        return losses


def attention(device: torch.device) -> AbstractContextManager[None]:
    """Return what lets attention be mapped: on a CPU, torch has no rule for its fast way, but for products."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


class Draws(TorchDispatchMode):
    """Let each network of a stack draw random numbers from a generator of its own.

    `vmap` draws for all networks at once, so that a network's numbers would depend on the stack.

    Args:
        generators: of the networks; None: torch's own, for a single one.
        idle: idle copies, which get the numbers of the first.
    """

    def __init__(self, generators: Sequence[torch.Generator | None], idle: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._generators, self._idle = generators, idle
        self.drew = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call an operation, once a network if it draws; its first argument is a tensor of all networks, or a size."""
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs)
        self.drew = True
        networks = len(self._generators) + self._idle
        first, *rest = args
        if isinstance(first, Tensor) and first.ndim > 0 and len(first) == networks:
            parts: Any = list(first.unbind())
        elif isinstance(first, list | tuple) and first and first[0] == networks:
            parts = [first[1:]] * networks
        else:
            raise NotImplementedError(f"{func} draws for no network in particular")
        drawn = []
        for part, generator in zip(parts, self._generators, strict=False):
            with drawing_from(generator):
                drawn.append(func(part, *rest, **kwargs))
        if isinstance(first, Tensor) and drawn[0].data_ptr() == parts[0].data_ptr():  # in place
            for part in parts[len(drawn) :]:
                part.copy_(drawn[0])
            return first
        return torch.stack(drawn + [drawn[0]] * self._idle)


def refusal(
    network: nn.Module, loss: Loss, x: Tensor, y: Tensor, autocast: Autocast = nullcontext, same: float = 1e-3
) -> str:
    """Return why networks like this one cannot be a stack, "" if they can: try two of them, and each by itself.

    Args:
        network: in training mode; it stays as it is.
        loss: what it is trained to make small.
        x: inputs of both, (2, batch, ...).
        y: targets of both, (2, batch).
        autocast: what outputs and losses are computed in.
        same: the share by which losses, gradients and buffers may differ, as rounding does.
    """
    try:
        alone = [copy.deepcopy(network) for _ in range(2)]
        with torch.no_grad():
            for weight in alone[1].parameters():
                weight.mul_(1.01)  # two that are alike would hide it if one got what is the other's
        stacked = [copy.deepcopy(each) for each in alone]
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=SLOW)
            generators = [torch.Generator(x.device).manual_seed(index) for index in range(2)]
            found = Mapped(stacked, loss, autocast, generators).backward(x, y)
        losses = [_alone(each, loss, x[[index]], y[[index]], autocast, index) for index, each in enumerate(alone)]
    except Exception as error:  # whatever torch raises, or a user's network does
        return str(error).partition("\n")[0].partition(". ")[0][:200] or type(error).__name__
    if all(_alike(*each, same) for each in zip(alone, stacked, strict=True)) and torch.allclose(
        torch.cat(losses), found, rtol=same
    ):
        return ""
    return "two of them, mapped by torch.func, compute something else than each by itself"


def _alone(network: nn.Module, loss: Loss, x: Tensor, y: Tensor, autocast: Autocast, seed: int) -> Tensor:
    with drawing_from(torch.Generator(x.device).manual_seed(seed)):
        return Single(network, loss, autocast).backward(x, y)


def _alike(one: nn.Module, other: nn.Module, same: float) -> bool:
    """Return True if two networks have the same gradients and buffers, to rounding."""
    pairs = list(zip((each.grad for each in one.parameters()), (each.grad for each in other.parameters()), strict=True))
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    gradients = [(a, b) for a, b in pairs if a is not None and b is not None]
    largest = max((float(a.abs().max()) for a, _ in gradients), default=0.0)  # some are nothing but rounding
    near = [torch.allclose(b, a, rtol=same, atol=same * largest) for a, b in gradients]
    near += [
        torch.allclose(b.float(), a.float(), rtol=same, atol=same)
        for a, b in zip(one.buffers(), other.buffers(), strict=True)
    ]
    return all(near)
