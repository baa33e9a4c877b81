"""Schedule-Free learning, which replaces the decay of the rate, and the optimizer, by an average of the weights."""

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.optimizers.adam import Adam
from pipeline.optimizers.base import exempt, groups
from pipeline.optimizers.sgd import SGD
from pipeline.schedules.base import Schedule
from pipeline.schedules.horizons import FromZero
from pipeline.settings import Factor, Resolved

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from pipeline.optimizers import AnyOptimizer

BETA = 0.9
"""The paper's beta, where an optimizer has no momentum: the package allows none of 0."""


class ScheduleFree(Schedule):
    """lr · lr_factor · min((t + 1)/warmup, 1); weights: an average that Schedule-Free SGD or AdamW keeps

    Gradients are taken at beta · x + (1 - beta) · z, where z are the weights of the base optimizer and x is their mean,
    each weighted by the square of its rate; x is validated and published. SGD becomes SGDScheduleFree, Adam and AdamW
    become AdamWScheduleFree of the package schedulefree, whose weight decay is that of AdamW; nesterov and amsgrad mean
    nothing there. Source: Defazio et al. 2024, "The Road Less Scheduled", arXiv:2405.15682.
    """

    averages_itself = True
    switches_weights = True
    optimizers = ("SGD", "Adam", "AdamW")
    warms_up_over = "warmup"
    shortest_warmup = 2  # its peak is the last step of the warm-up

    interval: Literal["batch"] = "batch"
    """Always `batch`: its warm-up counts optimizer steps."""
    warmup: FromZero
    """Length of the linear warm-up."""
    lr_factor: Factor | None = None
    """The factor of the base rate; null: 1/(1 - momentum) with SGD, which momentum multiplies its steps by, else 1."""
    beta: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the average in the weights that gradients are taken at; null: `momentum` of SGD, the first of `betas`
    of Adam, or 0.9 if that is 0."""

    def fitted(self, optimizer: "AnyOptimizer") -> "ScheduleFree":
        """Return the schedule with what is null set to what it is for ``optimizer``."""
        momentum = optimizer.momentum if isinstance(optimizer, SGD) else 0.0
        share = optimizer.betas[0] if isinstance(optimizer, Adam) else momentum
        factor = round(1 / (1 - momentum), 9)  # 10, not 10.000000000000002
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

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> "LRScheduler":
        from torch.optim import lr_scheduler

        warmup = self.arguments(optimizer, epochs, batches)["warmup"]
        return lr_scheduler.LambdaLR(optimizer, Warmup(warmup, self.lr_factor or 1.0))


@dataclass
class Warmup:
    """factor(t) = top · min((t + 1) / warmup, 1)."""

    warmup: int
    """Steps to the top."""
    top: float
    """The last factor."""

    def __call__(self, step: int) -> float:
        return self.top * min((step + 1) / max(self.warmup, 1), 1)
