"""Losses, and which outputs count as right."""

from collections.abc import Callable
from dataclasses import dataclass

import torch.nn.functional as F  # noqa: N812
from torch import Tensor


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
        return self.function(output, y, "mean" if self.mean else "sum")

    def stacked(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the losses of several networks, (networks,), of outputs (networks, examples, outputs)."""
        each = self.function(output.flatten(0, 1), y.flatten(0, 1), "none").view(len(y), -1)
        return each.mean(dim=1) if self.mean else each.sum(dim=1)


def _most_likely(output: Tensor, y: Tensor) -> Tensor:
    return output.argmax(dim=1) == y


def _positive(output: Tensor, y: Tensor) -> Tensor:
    return (output.squeeze(1) > 0) == y.bool()


def _cross_entropy(output: Tensor, y: Tensor, reduction: str) -> Tensor:
    return F.cross_entropy(output, y.long(), reduction=reduction)


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
