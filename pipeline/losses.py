"""The losses. A loss also defines how many outputs a network needs, and which outputs are correct.

This module is imported whenever params.yaml is read, so it imports torch only when a loss is computed.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BeforeValidator

from pipeline.errors import did_you_mean

if TYPE_CHECKING:
    from torch import Tensor

LOSSES: dict[str, "Loss"] = {}
"""Maps each loss's name in params.yaml to the loss. Any subclass of `Loss` with a `name` is added automatically."""


class Loss(ABC):
    """A loss, computed from outputs of shape (examples, outputs) and targets of shape (examples,).

    For a language model, the shapes are (examples, context, vocabulary) and (examples, context).
    """

    name: ClassVar[str]
    """The loss's name in params.yaml."""
    mean: ClassVar[bool] = True
    """True if the loss is the mean over the examples, False if it is the sum."""
    has_classes: ClassVar[bool] = False
    """True for a classification loss, where each prediction is either right or wrong."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "name" in vars(cls):
            LOSSES[cls.name] = cls()

    def outputs(self, classes: int, vocabulary_size: int = 0) -> int:
        """Return the number of outputs that a network needs per example, or per token for a language model."""
        return classes if self.has_classes else 1

    @abstractmethod
    def function(self, output: "Tensor", y: "Tensor", reduction: str) -> "Tensor":
        """Return the loss. As in torch, ``reduction`` is `none`, `mean` or `sum`."""

    def correct(self, output: "Tensor", y: "Tensor") -> "Tensor":
        """Return a boolean for each example: True if the output is correct. Only classification losses support this."""
        return output.argmax(dim=1) == y

    def of(self, output: "Tensor", y: "Tensor") -> "Tensor":
        """Return the loss of one network as a scalar."""
        return self.function(_wide(output), y, "mean" if self.mean else "sum")

    def stacked(self, output: "Tensor", y: "Tensor") -> "Tensor":
        """Return the loss of each network in a stack. The shape of ``output`` is (networks, examples, outputs)."""
        losses = self.function(_wide(output).flatten(0, 1), y.flatten(0, 1), "none").view(len(y), -1)
        return losses.mean(dim=1) if self.mean else losses.sum(dim=1)

    def scaled(self, loss: "Tensor", share: float) -> "Tensor":
        """Return the loss of one part of a step, scaled so that the losses of all parts add up to the loss of the step.

        Args:
            loss: the loss of the examples in the part.
            share: the number of examples in the part, divided by the number of examples in the step.
        """
        return loss * share if self.mean and share != 1 else loss


def _wide(output: "Tensor") -> "Tensor":
    """Convert bfloat16 outputs to float32, because bfloat16 is too coarse for a loss.

    On a GPU, autocast makes the same conversion.
    """
    import torch

    return output.float() if output.dtype == torch.bfloat16 else output


class CrossEntropy(Loss):
    """Cross-entropy of logits.

    Args:
        smoothing: the share of each target's probability that is spread evenly over all classes.
    """

    name = "cross-entropy"
    has_classes = True

    def __init__(self, smoothing: float = 0.0) -> None:
        self.smoothing = smoothing

    def function(self, output: "Tensor", y: "Tensor", reduction: str) -> "Tensor":
        from torch.nn import functional

        return functional.cross_entropy(output, y.long(), reduction=reduction, label_smoothing=self.smoothing)


class NLL(Loss):
    """Negative log-likelihood of log-probabilities."""

    name = "nll"
    has_classes = True

    def function(self, output: "Tensor", y: "Tensor", reduction: str) -> "Tensor":
        from torch.nn import functional

        return functional.nll_loss(output, y.long(), reduction=reduction)


class BCEWithLogits(Loss):
    """Binary cross-entropy of one logit, for two classes."""

    name = "bce-with-logits"
    has_classes = True

    def outputs(self, classes: int, vocabulary_size: int = 0) -> int:
        return 1

    def function(self, output: "Tensor", y: "Tensor", reduction: str) -> "Tensor":
        from torch.nn import functional

        return functional.binary_cross_entropy_with_logits(output.squeeze(1), y.float(), reduction=reduction)

    def correct(self, output: "Tensor", y: "Tensor") -> "Tensor":
        return (output.squeeze(1) > 0) == y.bool()


class MeanSquaredError(Loss):
    """Mean of the squared errors."""

    name = "mean-squared-error"

    def function(self, output: "Tensor", y: "Tensor", reduction: str) -> "Tensor":
        from torch.nn import functional

        return functional.mse_loss(output.squeeze(1), y, reduction=reduction)


class SquaredError(MeanSquaredError):
    """Sum of the squared errors."""

    name = "squared-error"
    mean = False


class NextToken(Loss):
    """Cross-entropy of every next token, for language models."""

    name = "next-token"

    def outputs(self, classes: int, vocabulary_size: int = 0) -> int:
        return vocabulary_size

    def function(self, output: "Tensor", y: "Tensor", reduction: str) -> "Tensor":
        from torch.nn import functional

        return functional.cross_entropy(output.flatten(0, 1), y.flatten().long(), reduction=reduction)


CLASSIFICATION = tuple(name for name, loss in LOSSES.items() if loss.has_classes)
"""The names of the classification losses."""


def _known(given: Any) -> Any:
    if given is None:
        raise ValueError(f"allowed: {', '.join(LOSSES)}")
    if not isinstance(given, str) or given not in LOSSES:
        raise ValueError(f"unknown {given!r}; {did_you_mean(given, LOSSES)}")
    return given


LossName = Annotated[str, BeforeValidator(_known)]
"""The name of a loss in params.yaml."""


def training_loss(name: str, label_smoothing: float | None) -> Loss:
    """Return the loss to minimise in training. Validation and testing use the same loss without label smoothing."""
    return CrossEntropy(label_smoothing) if label_smoothing else LOSSES[name]
