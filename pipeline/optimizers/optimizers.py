"""Four optimizers of torch, by its own names and arguments; `torch_optimizers` has the others."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, model_validator

from pipeline.optimizers.decay import exempt, groups
from pipeline.settings import Momentum, NonNegative, Rate, Resolved, Settings, class_field

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer as TorchOptimizer


class Optimizer(Settings):
    """The settings of the torch optimizer of the same name; the learning rate is the run's."""

    fused: ClassVar[bool] = True
    """True if torch has a fused form for every device: one call for all weights saves a third of a small step."""
    thread_invariant: ClassVar[bool] = True
    """True if a step has the same bits with any number of threads: each weight is updated by itself."""
    follows_rate: ClassVar[bool] = True
    """False if it takes the rate for its first step alone, so that no schedule changes anything."""

    class_: str = class_field
    """The class of `torch.optim`."""

    @property
    def cycled(self) -> str | None:
        """What a schedule that cycles momentum changes, `betas` or `momentum`; None if there is neither."""
        return next((name for name in ("betas", "momentum") if name in type(self).model_fields), None)

    def resolve(self) -> Resolved:
        """Return plain settings, the class among them."""
        return {"class": self.class_} | self.model_dump(mode="json", exclude={"class_"})

    def base_rates(self, lr: float) -> list[float]:
        """Return the base rate of each of torch's parameter groups; ``lr`` is the run's."""
        return [lr]

    def check_decay(self, name: str) -> None:
        """Raise ValueError if there is no weight decay; params.yaml calls the optimizer ``name``."""
        if "weight_decay" not in type(self).model_fields:
            raise ValueError(f"needs an optimizer with weight_decay, and {name} ({self.class_}) has none")

    def build(self, network: "nn.Module", lr: float, no_decay: Collection[str] = ()) -> "TorchOptimizer":
        """Return torch's optimizer of a network's weights at base rate ``lr``.

        Args:
            network: any.
            lr: the base rate.
            no_decay: kinds of weights without weight decay, as `decay.exempt` takes them; they are a group, the last.

        Raises:
            UserError: the network has no weights for such an optimizer.
        """
        return self.of(network.parameters(), lr, exempt(network, no_decay))

    def of(self, weights: "Iterable[Tensor]", lr: float, without: Collection[int] = ()) -> "TorchOptimizer":
        """Return torch's optimizer of ``weights`` at rate ``lr``, ``without`` decay for those with such an `id`."""
        import torch

        arguments = self.arguments()
        if self.fused:
            arguments["fused"] = True
        optimizer: TorchOptimizer = getattr(torch.optim, self.class_)(groups(weights, without), lr=lr, **arguments)
        return optimizer

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of torch's class but the weights and the rate."""
        return self.model_dump(exclude={"class_", "lr", "rest"})


class SGD(Optimizer):
    """Stochastic gradient descent."""

    momentum: Momentum = 0.0
    """Share of the last step that is added to the next."""
    weight_decay: NonNegative = 0.0
    """L2 penalty, added to the gradient."""
    nesterov: bool = False
    """True for Nesterov's momentum."""

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SGD":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, arXiv:1412.6980)."""

    betas: Annotated[list[Momentum], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    """Decay rates of the running averages of the gradient and of its square."""
    eps: Rate = 1e-8
    """Added to the denominator."""
    weight_decay: NonNegative = 0.0
    """L2 penalty, added to the gradient."""
    amsgrad: bool = False
    """True for the AMSGrad variant."""


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    weight_decay: NonNegative = 0.01
    """Share of each weight, times the rate, that every step takes away."""


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture notes)."""

    fused = False

    alpha: Momentum = 0.99
    """Decay rate of the running average of the squared gradient."""
    eps: Rate = 1e-8
    """Added to the denominator."""
    momentum: Momentum = 0.0
    """Share of the last step that is added to the next."""
    weight_decay: NonNegative = 0.0
    """L2 penalty, added to the gradient."""


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.__name__: kind for kind in (SGD, Adam, AdamW, RMSprop)}
"""Classes that `class` may name without torch being imported."""
