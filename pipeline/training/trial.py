"""Try a stack before it is relied on: a network may be anything."""

import copy
import warnings
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pipeline.losses import Loss
from pipeline.training.generators import drawing_from
from pipeline.training.stacks import Autocast, Single, Stack

SEED = 10**9
"""Of a trial's random numbers: no run's."""
SLOW = "There is a performance drop"
"""What torch warns of where it maps an operation one network at a time."""


def refusal(
    kind: type[Stack],
    network: nn.Module,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    autocast: Autocast = nullcontext,
    same: float = 1e-3,
) -> str:
    """Return why networks like this one cannot be a stack, "" if they can: try two of them, and each by itself.

    Args:
        kind: of stack.
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
            generators = [torch.Generator(x.device).manual_seed(SEED + index) for index in range(2)]
            found = kind(stacked, loss, autocast, generators).backward(x, y)
        losses = [_alone(each, loss, x[[index]], y[[index]], autocast, index) for index, each in enumerate(alone)]
    except Exception as error:  # whatever torch raises, or a user's network does
        return str(error).partition("\n")[0].partition(". ")[0][:200] or type(error).__name__
    if all(_alike(*each, same) for each in zip(alone, stacked, strict=True)) and torch.allclose(
        torch.cat(losses), found, rtol=same
    ):
        return ""
    return "two of them together compute something else than each by itself"


def _alone(network: nn.Module, loss: Loss, x: Tensor, y: Tensor, autocast: Autocast, seed: int) -> Tensor:
    with drawing_from(torch.Generator(x.device).manual_seed(SEED + seed)):
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
