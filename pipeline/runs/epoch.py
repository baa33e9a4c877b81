"""The figures of one epoch."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

NETWORK_FIGURES = ("train_loss", "val_loss", "val_accuracy")
"""Figures that the epochs of a network have; accuracies only if there are classes."""


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch, counted from 1."""

    epoch: int
    lr: float
    """The rate that the epoch's last batch was trained with."""
    figures: Mapping[str, float]
    """By name, such as `val_loss`; a figure that the run does not have is absent."""

    @classmethod
    def of_network(
        cls, epoch: int, lr: float, train_loss: float, val_loss: float, val_accuracy: float | None
    ) -> "Epoch":
        """Return an epoch of a network.

        Args:
            epoch: its number, from 1.
            lr: the rate of its last batch.
            train_loss: over its examples, each as the network was at the time: their mean or sum, as the loss defines.
            val_loss: over the validation split, in the same way.
            val_accuracy: share of right answers, 0 to 1; None without classes.
        """
        figures = {"train_loss": train_loss, "val_loss": val_loss}
        return cls(epoch, lr, figures if val_accuracy is None else figures | {"val_accuracy": val_accuracy})

    @property
    def train_loss(self) -> float | None:
        """The training loss; None if the run has none."""
        return self.figures.get("train_loss")

    @property
    def val_loss(self) -> float | None:
        """The validation loss; None if the run has none."""
        return self.figures.get("val_loss")

    @property
    def val_accuracy(self) -> float | None:
        """The validation accuracy, 0 to 1; None if the run has none."""
        return self.figures.get("val_accuracy")

    @property
    def diverged(self) -> bool:
        """True if a figure is no longer a finite number; no later one would be, either."""
        return not all(map(math.isfinite, self.figures.values()))


def figure_names(epochs: Iterable[Epoch]) -> list[str]:
    """Return the names of the figures in a table of epochs: those of networks first."""
    return list(dict.fromkeys((*NETWORK_FIGURES, *(name for epoch in epochs for name in epoch.figures))))
