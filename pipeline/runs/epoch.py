"""Defines the figures of one epoch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NETWORK_FIGURES = ("train_loss", "val_loss", "val_accuracy")
"""The names of a network's figures in each epoch. There is no accuracy if the task has no classes."""


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch. Epochs are counted from 1."""

    epoch: int
    lr: float
    """The learning rate of the epoch's last optimizer step."""
    figures: Mapping[str, float]
    """Maps names, such as `val_loss`, to figures. Figures that the run does not have are left out."""

    @classmethod
    def of_network(
        cls, epoch: int, lr: float, train_loss: float, val_loss: float, val_accuracy: float | None
    ) -> "Epoch":
        """Return an epoch with the figures of a network.

        Args:
            epoch: the number of the epoch, counted from 1.
            lr: the learning rate of the epoch's last optimizer step.
            train_loss: the mean or, for some loss functions, the sum of the training losses computed during the epoch.
            val_loss: the mean or, for some loss functions, the sum of the validation losses computed after the epoch.
            val_accuracy: the fraction of correct outputs, from 0 to 1, or None if the task has no classes.
        """
        figures = {"train_loss": train_loss, "val_loss": val_loss}
        return cls(epoch, lr, figures if val_accuracy is None else figures | {"val_accuracy": val_accuracy})

    @property
    def train_loss(self) -> float | None:
        """The training loss, or None if the run has no training loss."""
        return self.figures.get("train_loss")

    @property
    def val_loss(self) -> float | None:
        """The validation loss, or None if the run has no validation loss."""
        return self.figures.get("val_loss")

    @property
    def val_accuracy(self) -> float | None:
        """The validation accuracy, from 0 to 1, or None if the run has no validation accuracy."""
        return self.figures.get("val_accuracy")

    @property
    def diverged(self) -> bool:
        """True if at least one figure is NaN or infinite. A run cannot recover from such a figure."""
        return not all(map(math.isfinite, self.figures.values()))


def figure_names(epochs: Iterable[Epoch]) -> list[str]:
    """Return the names of all figures in a table of epochs, starting with `NETWORK_FIGURES`."""
    return list(dict.fromkeys((*NETWORK_FIGURES, *(name for epoch in epochs for name in epoch.figures))))
