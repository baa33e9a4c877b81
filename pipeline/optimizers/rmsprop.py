"""Defines the settings of RMSprop."""

from pipeline.optimizers.base import Optimizer
from pipeline.settings import Momentum, NonNegative, Rate


class RMSprop(Optimizer):
    """RMSprop. Source: Hinton 2012, lecture notes of "Neural Networks for Machine Learning"."""

    fused = False

    alpha: Momentum = 0.99
    """Decay rate of the running average of the squared gradient."""
    eps: Rate = 1e-8
    """A small number that is added to the denominator to avoid a division by 0."""
    momentum: Momentum = 0.0
    """Share of the previous step that is added to the next step."""
    weight_decay: NonNegative = 0.0
    """Strength of the L2 penalty: this share of each weight is added to the weight's gradient."""
