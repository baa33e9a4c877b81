"""Defines the settings of Adam and of AdamW, which is Adam with decoupled weight decay."""

from typing import Annotated

from pydantic import Field

from pipeline.optimizers.base import Optimizer
from pipeline.settings import Momentum, NonNegative, Rate


class Adam(Optimizer):
    """Adam. Source: Kingma & Ba 2015, "Adam: A Method for Stochastic Optimization", arXiv:1412.6980."""

    betas: Annotated[list[Momentum], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    """Decay rates of the running averages of the gradient and of its square."""
    eps: Rate = 1e-8
    """A small number that is added to the denominator to avoid a division by 0."""
    weight_decay: NonNegative = 0.0
    """Strength of the L2 penalty: this share of each weight is added to the weight's gradient."""
    amsgrad: bool = False
    """True to use the AMSGrad variant of Adam."""


class AdamW(Adam):
    """Adam with decoupled weight decay.

    Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101.
    """

    weight_decay: NonNegative = 0.01
    """Strength of the decoupled weight decay: each step multiplies the weights by 1 - rate * weight_decay."""
