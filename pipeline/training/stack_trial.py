"""Try a stack before it is relied on: a network may be anything."""

import copy
import warnings
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from pipeline.losses import Loss
from pipeline.training.generators import drawing_from
from pipeline.training.stacks import Autocast, Stack

SEED = 10**9
"""Seed of a trial's random numbers, which no run has."""
SLOW = "There is a performance drop"
"""torch's warning about an operation that it maps one network at a time."""


def refusal(
    kind: type[Stack],
    network: nn.Module,
    loss: Loss,
    x: Tensor,
    y: Tensor,
    autocast: Autocast = nullcontext,
    tolerance: float = 1e-3,
) -> str:
    """Return why networks like this one cannot be a stack, "" if they can: compare two in a stack with each alone.

    Args:
        kind: the class of the stack.
        network: a network in training mode, which stays as it is.
        loss: the loss that training minimises.
        x: inputs of both networks, (2, batch, ...).
        y: targets of both networks, (2, batch).
        autocast: context in which outputs and losses are computed.
        tolerance: relative difference that losses, gradients and buffers may have through rounding.
    """
    try:
        alone = [copy.deepcopy(network) for _ in range(2)]
        with torch.no_grad():
            for weight in alone[1].parameters():
                weight.mul_(1.01)  # equal networks would hide that one gets the gradients of the other
        stacked = [copy.deepcopy(network) for network in alone]
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=SLOW)
            stack = kind(stacked, loss, autocast, [_generator(x, index) for index in range(2)])
            losses = stack.backward(x, y)
        expected = []
        for index, single in enumerate(alone):
            with drawing_from(_generator(x, index)), autocast():
                expected.append(loss.of(single(x[index]), y[index]))
            expected[-1].backward()
    except Exception as error:  # whatever torch or a user's network raises
        return str(error).partition("\n")[0].partition(". ")[0][:200] or type(error).__name__
    is_alike = all(_is_alike(*pair, tolerance) for pair in zip(alone, stacked, strict=True))
    if is_alike and torch.allclose(torch.stack(expected).detach(), losses, rtol=tolerance):
        return ""
    return "two of them together compute something else than each by itself"


def _generator(x: Tensor, index: int) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(SEED + index)


def _is_alike(one: nn.Module, other: nn.Module, tolerance: float) -> bool:
    """Return True if two networks have the same gradients and buffers, to rounding."""
    pairs = [(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    gradients = [(a, b) for a, b in pairs if a is not None and b is not None]
    largest = max((float(a.abs().max()) for a, _ in gradients), default=0.0)  # some gradients are rounding alone
    buffers = zip(one.buffers(), other.buffers(), strict=True)
    return all(torch.allclose(b, a, rtol=tolerance, atol=tolerance * largest) for a, b in gradients) and all(
        torch.allclose(b.float(), a.float(), rtol=tolerance, atol=tolerance) for a, b in buffers
    )
