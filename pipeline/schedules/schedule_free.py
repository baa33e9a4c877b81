"""Defines Schedule-Free learning, in which the optimizer averages the weights instead of lowering the rate."""

from collections.abc import Collection, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.optimizers.adam import Adam
from pipeline.optimizers.base import exempt, groups
from pipeline.optimizers.sgd import SGD
from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import FromZero
from pipeline.schedules.torch_call import TorchCall, factor_call
from pipeline.settings import Factor, Resolved

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from pipeline.optimizers import AnyOptimizer

BETA = 0.9
"""The beta from the paper. Optimizers without momentum use this value, because schedulefree rejects a beta of 0."""


def warmed_up(step: int, warmup: int, lr_factor: float) -> float:
    """Return ``lr_factor``, or a smaller factor during a linear warm-up of ``warmup`` steps."""
    return lr_factor * min((step + 1) / max(warmup, 1), 1)


class ScheduleFree(Schedule):
    """lr · lr_factor · min((t + 1)/warmup, 1); weights: an average that Schedule-Free SGD or AdamW keeps

    Gradients are computed at beta · x + (1 - beta) · z. In this formula, z denotes the weights that the base optimizer
    updates, and x is the mean of z over all steps, weighted by the square of the rate. The mean x is validated and
    published. The optimizers come from the `schedulefree` package. SGDScheduleFree replaces SGD. AdamWScheduleFree
    replaces both Adam and AdamW, and uses the weight decay of AdamW. The settings nesterov and amsgrad of the replaced
    optimizer have no effect. Source: Defazio et al. 2024, "The Road Less Scheduled", arXiv:2405.15682.
    """

    built_in_average = "optimizer"
    optimizers = ("SGD", "Adam", "AdamW")
    warms_up_over = "warmup"
    shortest_warmup = 2  # because a warm-up of one step begins at the peak

    interval: Literal["batch"] = "batch"
    """Always `batch`, because the warm-up counts optimizer steps."""
    warmup: FromZero
    """The length of the linear warm-up."""
    lr_factor: Factor | None = None
    """The factor by which the base rate is multiplied. Null means 1 for Adam and AdamW, but 1/(1 - momentum) for SGD,
    because momentum makes SGD's steps longer by this factor."""
    beta: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The share of the average x in the weights at which gradients are computed. Null means the `momentum` of SGD or
    the first of Adam's `betas`, or 0.9 if this momentum or beta is 0."""

    def fitted(self, optimizer: "AnyOptimizer") -> "ScheduleFree":
        """Return a copy of the schedule in which the value for ``optimizer`` replaces a null `lr_factor` or `beta`."""
        momentum = optimizer.momentum if isinstance(optimizer, SGD) else 0.0
        share = optimizer.betas[0] if isinstance(optimizer, Adam) else momentum
        factor = round(1 / (1 - momentum), 9)  # rounded, because 1 / (1 - 0.9) gives 10.000000000000002
        return self.model_copy(
            update={
                "lr_factor": factor if self.lr_factor is None else self.lr_factor,
                "beta": self.beta or share or BETA,
            }
        )

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        resolved["schedulefree"] = version("schedulefree")

    def optimizer(
        self, settings: "AnyOptimizer", network: "nn.Module", lr: float, no_decay: Collection[str] = ()
    ) -> "Optimizer":
        import schedulefree

        beta, weights = self.beta or BETA, groups(network.parameters(), exempt(network, no_decay))
        optimizer: Optimizer
        if isinstance(settings, SGD):
            optimizer = schedulefree.SGDScheduleFree(weights, lr, beta, settings.weight_decay)
        else:
            assert isinstance(settings, Adam)
            betas = (beta, settings.betas[1])
            optimizer = schedulefree.AdamWScheduleFree(weights, lr, betas, settings.eps, settings.weight_decay)
        return optimizer

    def torch_call(self, resolved: Resolved, base_rates: Sequence[float]) -> TorchCall:
        return factor_call(warmed_up, warmup=resolved["warmup"], lr_factor=self.lr_factor or 1.0)
