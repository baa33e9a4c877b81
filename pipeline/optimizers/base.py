"""Defines the base class of all optimizers, their registry, and functions that select weights for weight decay.

Each optimizer is a class. The fields of the class are the settings, the docstring names the source, and the method
`build` returns the torch optimizer.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.settings import Resolved, Settings, class_field

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer as TorchOptimizer

REGISTRY: dict[str, type["Optimizer"]] = {}
"""Maps the name of each optimizer class in this package to the class. A class is added only if `listed` is true."""


class Optimizer(Settings):
    """The settings of an optimizer, except the learning rate, which belongs to the run.

    A subclass adds fields. By default, the method `of` creates the torch optimizer whose class has the same name as the
    subclass. If torch has no such class, the subclass overrides `of`.
    """

    fused: ClassVar[bool] = True
    """True if torch has a fused version for every device. With it, short steps take a third less time."""
    thread_invariant: ClassVar[bool] = True
    """True if each weight is updated independently, so the number of threads does not affect the result of a step."""
    follows_rate: ClassVar[bool] = True
    """False if only the first step uses the rate, so schedules have no effect."""
    listed: ClassVar[bool] = True
    """False for classes that are not registered, which are `UserOptimizer` and the classes made from torch's."""

    class_: str = class_field
    """The name of the optimizer's class."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        if cls.listed:
            REGISTRY[cls.__name__] = cls

    @property
    def cycled(self) -> str | None:
        """The setting that `cycle_momentum` changes (`betas` or `momentum`), or None if there is no such setting."""
        return next((name for name in ("betas", "momentum") if name in type(self).model_fields), None)

    def parts(self) -> "list[Optimizer]":
        """Return the optimizers that train some of the weights in place of this optimizer."""
        return []

    def resolve(self) -> Resolved:
        """Return the settings, including the class, as plain values."""
        return {"class": self.class_} | self.model_dump(mode="json", exclude={"class_"})

    def base_rates(self, lr: float) -> list[float]:
        """Return the base rate of each of the torch optimizer's parameter groups in a run with the base rate ``lr``."""
        return [lr]

    def check_decay(self, name: str) -> None:
        """Raise a ValueError if the optimizer, which params.yaml calls ``name``, has no weight decay."""
        if "weight_decay" not in type(self).model_fields:
            raise ValueError(f"needs an optimizer with weight_decay, and {name} ({self.class_}) has none")

    def build(self, network: "nn.Module", lr: float, no_decay: Collection[str] = ()) -> "TorchOptimizer":
        """Return the torch optimizer for the weights of a network, with the base rate ``lr``.

        Args:
            network: any module.
            lr: the base rate.
            no_decay: the kinds of weights to exempt from weight decay; see `exempt`. Exempt weights form the last
                parameter group.

        Raises:
            UserError: the network has no weights that the optimizer can train.
        """
        return self.of(network.parameters(), lr, exempt(network, no_decay))

    def of(self, weights: "Iterable[Tensor]", lr: float, without: Collection[int] = ()) -> "TorchOptimizer":
        """Return the torch optimizer for ``weights``. ``without`` has the `id` of each weight without weight decay."""
        import torch

        arguments = self.arguments()
        if self.fused:
            arguments["fused"] = True
        optimizer: TorchOptimizer = getattr(torch.optim, self.class_)(groups(weights, without), lr=lr, **arguments)
        return optimizer

    def arguments(self) -> dict[str, Any]:
        """Return the arguments for torch's class, except the weights and the rate."""
        return self.model_dump(exclude={"class_"})


def exempt(network: "nn.Module", kinds: Collection[str]) -> set[int]:
    """Return the `id`s of the weights that are exempt from weight decay.

    Args:
        network: any module. A weight that has two names is exempt if it is exempt under either name.
        kinds: the kinds of weights to exempt. The kind `bias` means all weights with names such as `bias`, `bias_hh_l0`
            and `in_proj_bias`. The kind `norm` means the one-dimensional weights of normalisation layers. A layer is a
            normalisation layer if `norm` occurs in the name of its class or of a base class, as in `BatchNorm2d`.
    """
    exempted = set()
    for module in network.modules():
        is_norm = any("norm" in kind.__name__.lower() for kind in type(module).__mro__)
        for name, weight in module.named_parameters(recurse=False, remove_duplicate=False):
            is_bias = name == "bias" or name.startswith("bias_") or name.endswith("_bias")
            if ("bias" in kinds and is_bias) or ("norm" in kinds and is_norm and weight.ndim == 1):
                exempted.add(id(weight))
    return exempted


def groups(weights: "Iterable[Tensor]", without: Collection[int]) -> "list[Tensor] | list[dict[str, Any]]":
    """Return weights as parameter groups for a torch optimizer: one group with weight decay, and one without.

    If weight decay applies to all weights or to none, there is only one group.

    Args:
        weights: all weights.
        without: the `id` of each weight without weight decay.
    """
    listed = list(weights)
    decayed = [weight for weight in listed if id(weight) not in without]
    exempted = [weight for weight in listed if id(weight) in without]
    if not exempted:
        return listed
    group: dict[str, Any] = {"params": exempted, "weight_decay": 0.0}
    return [{"params": decayed}, group] if decayed else [group]
