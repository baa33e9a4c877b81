"""A trial that checks before training whether a stack gives the same results as single networks."""

import copy
import warnings

import torch
from torch import Tensor, nn

from pipeline.training.generators import drawing_from
from pipeline.training.stacks import Stack
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet

SEED = 10**9
"""The seed for the random numbers in a trial; no run uses this seed."""
SLOW = "There is a performance drop"
"""The beginning of torch's warning about an operation that `vmap` computes for one network at a time."""


def refusal(kind: type[Stack], run: Training, examples: TrainingSet) -> str:
    """Return the reason why runs like ``run`` cannot be trained as a stack, or "" if they can.

    A network may run any code, so a trial is needed. It computes the losses and gradients of two networks, once in a
    stack and once separately. The results must agree up to rounding. Both networks are copies of the run's network, one
    with changed weights.
    """
    x, y = examples.take([slice(0, min(run.workload.batch_size, len(examples)))] * 2)
    tolerance = 0.05 if run.workload.precision == "bfloat16" else 1e-3
    try:
        alone = [copy.deepcopy(run.network) for _ in range(2)]
        with torch.no_grad():
            for weight in alone[1].parameters():
                weight.mul_(1.01)  # otherwise, swapped gradients would go unnoticed
        stacked = [copy.deepcopy(network) for network in alone]
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=SLOW)
            stack = kind(stacked, run.loss, run.autocast, [_generator(x, index) for index in range(2)])
            losses = stack.backward(x, y)
        expected = []
        for index, single in enumerate(alone):
            with drawing_from(_generator(x, index)), run.autocast():
                expected.append(run.loss.of(single(x[index]), y[index]))
            expected[-1].backward()
    except Exception as error:  # torch or a user's network may raise any exception
        return str(error).partition("\n")[0].partition(". ")[0][:200] or type(error).__name__
    if not all(weight.grad.isfinite().all() for one in alone for weight in one.parameters() if weight.grad is not None):
        return "their first gradients are not finite, so they cannot be compared"
    is_alike = all(_is_alike(*pair, tolerance) for pair in zip(alone, stacked, strict=True))
    if is_alike and torch.allclose(torch.stack(expected).detach(), losses, rtol=tolerance):
        return ""
    return "two of them compute something else in a stack than each does alone"


def _generator(x: Tensor, index: int) -> torch.Generator:
    return torch.Generator(x.device).manual_seed(SEED + index)


def _is_alike(one: nn.Module, other: nn.Module, tolerance: float) -> bool:
    """Return True if two networks have the same gradients and buffers up to rounding."""
    pairs = [(a.grad, b.grad) for a, b in zip(one.parameters(), other.parameters(), strict=True)]
    if any((a is None) != (b is None) for a, b in pairs):
        return False
    gradients = [(a, b) for a, b in pairs if a is not None and b is not None]
    # The tolerance depends on the largest gradient, because some gradients are only rounding errors.
    largest = max((float(a.abs().max()) for a, _ in gradients), default=0.0)
    buffers = zip(one.buffers(), other.buffers(), strict=True)
    return all(torch.allclose(b, a, rtol=tolerance, atol=tolerance * largest) for a, b in gradients) and all(
        torch.allclose(b.float(), a.float(), rtol=tolerance, atol=tolerance) for a, b in buffers
    )
