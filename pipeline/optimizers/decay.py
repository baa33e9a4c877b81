"""Weights without weight decay: biases and normalisation layers. Needs no torch of its own."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn


def exempt(network: "nn.Module", kinds: Collection[str]) -> set[int]:
    """Return the weights of a network that have no decay, by their `id`.

    Args:
        network: any module. A weight with two names, one of which is exempt, is exempt.
        kinds: `bias` for all that is called so (`bias`, `bias_hh_l0`, `in_proj_bias`); `norm` for what a normalisation
            layer has in one dimension. That is a layer whose class, or one that it inherits from, has `norm` in its
            name, such as `BatchNorm2d`, `LayerNorm`, `RMSNorm`.
    """
    found = set()
    for module in network.modules():
        is_norm = any("norm" in kind.__name__.lower() for kind in type(module).__mro__)
        for name, weight in module.named_parameters(recurse=False, remove_duplicate=False):
            is_bias = name == "bias" or name.startswith("bias_") or name.endswith("_bias")
            if ("bias" in kinds and is_bias) or ("norm" in kinds and is_norm and weight.ndim == 1):
                found.add(id(weight))
    return found


def groups(weights: "Iterable[Tensor]", without: Collection[int]) -> "list[Tensor] | list[dict[str, Any]]":
    """Return parameter groups for a torch optimizer: the weights that decay, and those that do not.

    Args:
        weights: all of them.
        without: the `id` of those that do not; if there are none, or no others, there is one group.
    """
    of = list(weights)
    decayed, rest = ([each for each in of if (id(each) in without) == out] for out in (False, True))
    if not rest:
        return of
    exempted: dict[str, Any] = {"params": rest, "weight_decay": 0.0}
    return [{"params": decayed}, exempted] if decayed else [exempted]
