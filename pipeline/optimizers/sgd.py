"""Defines the settings of stochastic gradient descent."""

from pydantic import model_validator

from pipeline.optimizers.base import Optimizer
from pipeline.settings import Momentum, NonNegative


class SGD(Optimizer):
    """Stochastic gradient descent. Source: Robbins & Monro 1951, "A Stochastic Approximation Method"."""

    momentum: Momentum = 0.0
    """Share of the previous step that is added to the next step."""
    weight_decay: NonNegative = 0.0
    """Strength of the L2 penalty: this share of each weight is added to the weight's gradient."""
    nesterov: bool = False
    """True to use Nesterov's momentum."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SGD":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self
