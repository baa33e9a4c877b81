"""The base of all optimizers, the registry of their classes, and the weights without weight decay.

An optimizer is one class: its settings are fields, its docstring names the source, and `build` returns the torch
optimizer.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.settings import Resolved, Settings, class_field

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer as TorchOptimizer

REGISTRY: dict[str, type["Optimizer"]] = {}
"""Every optimizer that has a class in this package, by the name of that class. A subclass of `Optimizer` enters itself
if it is `listed`."""


class Optimizer(Settings):
    """The settings of the torch optimizer of the same name; the learning rate is the run's.

    A subclass adds fields. `of` returns torch's class of the same name; an optimizer that torch lacks overrides it.
    """

    fused: ClassVar[bool] = True
    """True if torch has a fused form for every device: one call for all weights saves a third of a small step."""
    thread_invariant: ClassVar[bool] = True
    """True if a step has the same bits with any number of threads: each weight is updated by itself."""
    follows_rate: ClassVar[bool] = True
    """False if only the first step uses the rate, so that no schedule changes anything."""
    listed: ClassVar[bool] = True
    """False for a class that does not enter the registry: the user's own, or one made from a class of torch."""

    class_: str = class_field
    """The name of the optimizer's class."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        if cls.listed:
            REGISTRY[cls.__name__] = cls

    @property
    def cycled(self) -> str | None:
        """The setting that `cycle_momentum` of a schedule changes, `betas` or `momentum`; None if there is neither."""
        return next((name for name in ("betas", "momentum") if name in type(self).model_fields), None)

    def parts(self) -> "list[Optimizer]":
        """Return the optimizers of other weights that this one needs beside it."""
        return []

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
            no_decay: kinds of weights without weight decay, as for `exempt`; they are a group, the last.

        Raises:
            UserError: the network has no weights for such an optimizer.
        """
        return self.of(network.parameters(), lr, exempt(network, no_decay))

    def of(self, weights: "Iterable[Tensor]", lr: float, without: Collection[int] = ()) -> "TorchOptimizer":
        """Return torch's optimizer of ``weights`` at rate ``lr``, ``without`` decay for weights with such an `id`."""
        import torch

        arguments = self.arguments()
        if self.fused:
            arguments["fused"] = True
        optimizer: TorchOptimizer = getattr(torch.optim, self.class_)(groups(weights, without), lr=lr, **arguments)
        return optimizer

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of torch's class but the weights and the rate."""
        return self.model_dump(exclude={"class_"})


def exempt(network: "nn.Module", kinds: Collection[str]) -> set[int]:
    """Return the weights of a network that have no decay, by their `id`.

    Args:
        network: any module. A weight with two names is exempt if one of them is.
        kinds: `bias` for all weights called so (`bias`, `bias_hh_l0`, `in_proj_bias`); `norm` for the weights of one
            dimension in normalisation layers: layers whose class, or a class that it inherits from, has `norm` in its
            name, such as `BatchNorm2d`, `LayerNorm`, `RMSNorm`.
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
    """Return parameter groups for a torch optimizer: the weights that decay, and those that do not.

    Args:
        weights: all weights.
        without: the `id` of each weight that does not decay; if none or all do, there is one group.
    """
    listed = list(weights)
    decayed, rest = ([weight for weight in listed if (id(weight) in without) == out] for out in (False, True))
    if not rest:
        return listed
    exempted: dict[str, Any] = {"params": rest, "weight_decay": 0.0}
    return [{"params": decayed}, exempted] if decayed else [exempted]
