"""What training minimises, and what counts as right."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


@dataclass(frozen=True)
class Loss:
    """A loss of outputs (examples, outputs) and targets (examples,)."""

    of: Callable[[Tensor, Tensor], Tensor]
    mean: bool
    """Whether it is a mean over the examples, and not a sum."""
    correct: Callable[[Tensor, Tensor], Tensor] | None
    """Which outputs are right, bool (examples,); None where there are no classes."""


def _most_likely(output: Tensor, y: Tensor) -> Tensor:
    return output.argmax(dim=1) == y


def _positive(output: Tensor, y: Tensor) -> Tensor:
    return (output.squeeze(1) > 0) == y.bool()


def _binary(output: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(output.squeeze(1), y.float())


def _squared(output: Tensor, y: Tensor) -> Tensor:
    return torch.sum((output.squeeze(1) - y) ** 2)


LOSSES = {
    "cross-entropy": Loss(lambda output, y: F.cross_entropy(output, y.long()), True, _most_likely),
    "nll": Loss(lambda output, y: F.nll_loss(output, y.long()), True, _most_likely),
    "bce-with-logits": Loss(_binary, True, _positive),
    "squared-error": Loss(_squared, False, None),
}
"""By the names that params.yaml has for them."""
