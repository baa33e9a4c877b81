"""The figures of one epoch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch, counted from 1."""

    epoch: int
    lr: float
    """The rate that the epoch's last batch was trained with."""
    train_loss: float
    """Over the epoch's examples, each as the network was when it met it: their mean, or sum, as the loss has it."""
    val_loss: float
    val_accuracy: float | None
    """Share of right answers, 0 to 1; None where there are no classes."""

    @property
    def diverged(self) -> bool:
        """True if a loss is no longer a finite number: no later one would be, either."""
        return not (math.isfinite(self.train_loss) and math.isfinite(self.val_loss))
