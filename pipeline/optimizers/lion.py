"""Lion, an optimizer that torch lacks."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from pipeline.optimizers.base import Optimizer, groups
from pipeline.settings import Momentum, NonNegative

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer


class Lion(Optimizer):
    """Steps of one size: the sign of a running average of the gradient.

    Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", https://arxiv.org/abs/2302.06675
    """

    betas: Annotated[list[Momentum], Field(min_length=2, max_length=2)] = [0.9, 0.99]
    """Decay rates: of the average that gives the sign, and of the average that is kept."""
    weight_decay: NonNegative = 0.0
    """Decoupled: each step multiplies the weights by 1 - rate * weight_decay."""

    def of(self, weights: "Iterable[Tensor]", lr: float, without: Collection[int] = ()) -> "TorchOptimizer":
        return _torch_class()(groups(weights, without), lr=lr, **self.arguments())


def _torch_class() -> "Callable[..., TorchOptimizer]":
    import torch

    class TorchLion(torch.optim.Optimizer):
        def __init__(self, weights: Any, **defaults: Any) -> None:
            super().__init__(weights, defaults)

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:  # type: ignore[override]
            for group in self.param_groups:
                first, second = group["betas"]
                for weight in group["params"]:
                    if weight.grad is None:
                        continue
                    average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.sub_(group["lr"] * average.lerp(weight.grad, 1 - first).sign())
                    average.lerp_(weight.grad, 1 - second)

    return TorchLion
