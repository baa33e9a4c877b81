"""Losses, and which outputs count as right."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload


@dataclass(frozen=True)
class Loss:
    """A loss of outputs (examples, outputs) and targets (examples,).

    Where each token of an example has a target, they are (examples, context, vocabulary) and (examples, context).
    """

    function: Callable[[Tensor, Tensor, str], Tensor]
    """Called with outputs, targets, and torch's reduction: none, mean or sum."""
    mean: bool
    """True for a mean over the examples, False for a sum."""
    correct: Callable[[Tensor, Tensor], Tensor] | None
    """Right outputs, bool (examples,); None where there are no classes."""

    def of(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the loss of one network, a scalar."""
        return self.function(_wide(output), y, "mean" if self.mean else "sum")

    def stacked(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the losses of several networks, (networks,), of outputs (networks, examples, outputs)."""
        each = self.function(_wide(output).flatten(0, 1), y.flatten(0, 1), "none").view(len(y), -1)
        return each.mean(dim=1) if self.mean else each.sum(dim=1)

    def scaled(self, loss: Tensor, share: float) -> Tensor:
        """Return the loss of a part of a step, so that those of all parts sum up to that of the step.

        Args:
            loss: of the part's examples.
            share: of the step's examples.
        """
        return loss * share if self.mean and share != 1 else loss


def _wide(output: Tensor) -> Tensor:
    """Return float32 for bfloat16, which is too coarse for a loss; autocast does the same, but on a GPU alone."""
    return output.float() if output.dtype == torch.bfloat16 else output


def _most_likely(output: Tensor, y: Tensor) -> Tensor:
    return output.argmax(dim=1) == y


def _positive(output: Tensor, y: Tensor) -> Tensor:
    return (output.squeeze(1) > 0) == y.bool()


def _cross_entropy(output: Tensor, y: Tensor, reduction: str, smoothing: float = 0.0) -> Tensor:
    return F.cross_entropy(output, y.long(), reduction=reduction, label_smoothing=smoothing)


def _next_token(output: Tensor, y: Tensor, reduction: str) -> Tensor:
    return _cross_entropy(output.flatten(0, 1), y.flatten(), reduction)


def _nll(output: Tensor, y: Tensor, reduction: str) -> Tensor:
    return F.nll_loss(output, y.long(), reduction=reduction)


def _binary(output: Tensor, y: Tensor, reduction: str) -> Tensor:
    return F.binary_cross_entropy_with_logits(output.squeeze(1), y.float(), reduction=reduction)


def _squared(output: Tensor, y: Tensor, reduction: str) -> Tensor:
    return F.mse_loss(output.squeeze(1), y, reduction=reduction)


LOSSES = {
    "cross-entropy": Loss(_cross_entropy, mean=True, correct=_most_likely),
    "nll": Loss(_nll, mean=True, correct=_most_likely),
    "bce-with-logits": Loss(_binary, mean=True, correct=_positive),
    "squared-error": Loss(_squared, mean=False, correct=None),
    "mean-squared-error": Loss(_squared, mean=True, correct=None),
    "next-token": Loss(_next_token, mean=True, correct=None),
}
"""Losses by their names in params.yaml."""


def training_loss(workload: "Workload") -> Loss:
    """Return the loss that training minimises; validation and test use it without label smoothing."""
    loss = LOSSES[workload.loss]
    if not workload.label_smoothing:
        return loss
    return replace(loss, function=partial(_cross_entropy, smoothing=workload.label_smoothing))
