"""The optimizers: torch's arguments, by torch's names."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, PlainValidator, SerializeAsAny, model_validator

from pipeline.settings.base import Momentum, NonNegative, Rate, Resolved, Settings, class_field, validated_by_class

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer


class Optimizer(Settings):
    """The settings of the torch optimizer of the same name; the learning rate is the run's."""

    fused: ClassVar[bool] = True
    """True if torch has a fused form for every device: one call for all weights saves a third of a small step."""

    class_: str = class_field
    """The class of `torch.optim`."""

    def resolve(self) -> Resolved:
        """Return plain settings, the class among them."""
        return {"class": self.class_} | self.model_dump(exclude={"class_"})

    def build(self, parameters: "Iterable[Tensor]", lr: float) -> "TorchOptimizer":
        """Return torch's optimizer of ``parameters`` at base rate ``lr``."""
        import torch

        arguments = self.model_dump(exclude={"class_"})
        if self.fused:
            arguments["fused"] = True
        optimizer: TorchOptimizer = getattr(torch.optim, self.class_)(parameters, lr=lr, **arguments)
        return optimizer


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
"""The classes that `class` may name."""


def _validated(given: Any) -> Optimizer:
    return given if isinstance(given, Optimizer) else validated_by_class(given, OPTIMIZERS)


AnyOptimizer = Annotated[SerializeAsAny[Optimizer], PlainValidator(_validated)]
"""An optimizer of the class that the key `class` names."""
