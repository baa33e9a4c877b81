"""Every other optimizer of `torch.optim`: settings made from the signature of its class, with its own defaults.

torch is imported where params.yaml names such a class, and only there.

What some of them do with the rate is worth knowing before schedules are compared: `Rprop` takes it for its first step
alone, `Adafactor` at most 1 / sqrt(step) of it, and `ASGD` uses at each step that of the step before; its average of
the weights is kept and not used. None of them draws random numbers.
"""

import inspect
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import Field, PlainValidator, SerializeAsAny, Strict, ValidationInfo, create_model, field_validator

from pipeline.errors import UserError
from pipeline.optimizers.decay import exempt
from pipeline.optimizers.optimizers import OPTIMIZERS, Optimizer
from pipeline.optimizers.own_optimizer import UserOptimizer
from pipeline.settings import Rate, Resolved, error_at, validated_by_class
from pipeline.user_code import BUILDER, is_builder

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer as Torchs

LEFT_OUT = ("params", "lr", "maximize", "foreach", "fused", "capturable", "differentiable")
"""Arguments that are no settings: what a run has, and how torch goes about it."""
REFUSED = {
    "LBFGS": "computes the loss several times a step, and training does so once",
    "SparseAdam": "takes sparse gradients only, and those of networks are dense",
}
"""Classes of torch that cannot train a network here, and why."""
REST = "Rest"
"""The names of classes that `rest` may have begin with it."""


class _FromTorch(Optimizer):
    """Settings that torch's class says all about. Not fused: torch's Adagrad is so on CPU and CUDA alone."""

    fused = False
    thread_invariant = False  # Adafactor and Muon sum over a whole matrix

    @field_validator("*")
    @classmethod
    def _torch_takes_it(cls, value: Any, info: ValidationInfo) -> Any:
        import torch

        kind = getattr(torch.optim, cls.__name__.removeprefix(REST))
        if info.field_name in _arguments(kind):
            _check(kind, {info.field_name: value})
        return value


class _Rprop(_FromTorch):
    """Rprop: its steps begin at the rate, and then follow the signs of the gradient alone."""

    follows_rate = False


class _Rest(Optimizer):
    """The optimizer of the weights that another does not take, with a base rate of its own."""

    lr: Rate | None = None
    """Its base rate; null: the run's."""

    def base_rates(self, lr: float) -> list[float]:
        return [self.lr or lr]


def _validated_rest(given: Any) -> Optimizer:
    if isinstance(given, _Rest):
        return given
    if isinstance(given, dict) and is_builder(given.get("class")):
        raise error_at("class", given["class"], "value_error", "the rest takes a class of torch, not one of your own")
    if isinstance(given, dict) and given.get("class") == "Muon":
        raise error_at("class", "Muon", "value_error", "Muon is for matrices; choose another class for the rest")
    return validated_by_class(given, {name: _rest(kind) for name, kind in _classes(given).items() if name != "Muon"})


class _Muon(_FromTorch):
    """Muon for the hidden matrices of a network, and another optimizer for the rest of its weights.

    `matrices.hidden_matrices` says which are which. The products of Muon's Newton-Schulz iteration are in bfloat16.
    """

    rest: Annotated[SerializeAsAny[Optimizer], PlainValidator(_validated_rest)]
    """The optimizer of all other weights, with a base `lr` of its own (null: the run's)."""

    @field_validator("ns_steps", check_fields=False)
    @classmethod
    def _few_steps(cls, value: int) -> int:
        if not 1 <= value < 100:  # torch says so at the first step
            raise ValueError(f"{value}: allowed: 1 to 99")
        return value

    @property
    def cycled(self) -> str | None:
        return super().cycled if super().cycled == self.rest.cycled else None

    def resolve(self) -> Resolved:
        return super().resolve() | {"rest": self.rest.resolve()}

    def base_rates(self, lr: float) -> list[float]:
        return [lr, *self.rest.base_rates(lr)]

    def check_decay(self, name: str) -> None:
        self.rest.check_decay(f"the rest of {name}")

    def build(self, network: "nn.Module", lr: float, no_decay: Collection[str] = ()) -> "Torchs":
        from pipeline.optimizers.matrices import Together, hidden_matrices, other_weights

        hidden = hidden_matrices(network)
        if not hidden:
            raise UserError(
                "Muon: the network has no hidden matrix, which is a weight of two dimensions that is neither an "
                "embedding nor the first or the last weight; choose another optimizer"
            )
        own, rest = self.base_rates(lr)
        return Together(self.of(hidden, own), self.rest.of(other_weights(network), rest, exempt(network, no_decay)))


@cache
def _made(name: str) -> type[Optimizer]:
    """Make the settings of a class of `torch.optim` from its signature."""
    import torch

    kind = getattr(torch.optim, name)
    hints = get_type_hints(kind.__init__)
    fields: dict[str, Any] = {
        key: (_annotation(hints.get(key, Any)), Field(default, validate_default=True))
        for key, default in _arguments(kind).items()
    }
    bases: dict[str, type[Optimizer]] = {"Muon": _Muon, "Rprop": _Rprop}
    base = bases.get(name, _FromTorch)
    return create_model(name, __base__=base, __module__=__name__, __doc__=f"torch.optim.{name}", **fields)


@cache
def _rest(kind: type[Optimizer]) -> type[Optimizer]:
    """Add a base rate to the settings of a class."""
    return create_model(f"{REST}{kind.__name__}", __base__=(_Rest, kind), __module__=__name__, __doc__=kind.__doc__)


def __getattr__(name: str) -> type[Optimizer]:
    """Return a class that is made on demand; pickle asks for it by name where a run arrives in another process."""
    own = name.removeprefix(REST)
    if not own[:1].isupper() or own not in (classes := all_optimizers()):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return classes[own] if own == name else _rest(classes[own])


@cache
def all_optimizers() -> dict[str, type[Optimizer]]:
    """Return the settings of every optimizer of torch that can train a network here, by its name."""
    import torch

    found = {
        name: kind
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    return OPTIMIZERS | {name: _made(name) for name in sorted(found) if name not in {*OPTIMIZERS, *REFUSED}}


def _classes(given: Any) -> Mapping[str, type[Optimizer]]:
    """Return the classes that the key `class` of ``given`` may name; without torch, if one of ours is named.

    Raises:
        ValidationError: it names a class that cannot train a network here.
    """
    name = given.get("class") if isinstance(given, dict) else None
    if name is None or (isinstance(name, str) and name in OPTIMIZERS):
        return OPTIMIZERS
    if isinstance(name, str) and name in REFUSED:
        raise error_at(
            "class", name, "value_error", f"{name} {REFUSED[name]}; allowed: {', '.join(sorted(all_optimizers()))}"
        )
    return all_optimizers()


def _arguments(kind: type) -> dict[str, Any]:
    """Return the arguments of a class of torch that are settings, and their defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return {each.name: each.default for each in parameters if each.name not in LEFT_OUT}


def _annotation(hint: Any) -> Any:
    """Return the type of a setting: never a tensor; what torch wants as a tuple, YAML has as a list."""
    import torch

    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_annotation(each) for each in get_args(hint) if each is not torch.Tensor)]  # noqa: UP007
    if get_origin(hint) is tuple:
        parts: Any = tuple(_annotation(each) for each in get_args(hint))
        return Annotated[tuple[parts], Strict(False)]
    return hint


class _AcceptedError(Exception):
    pass


def _check(kind: "type[Torchs]", arguments: dict[str, Any]) -> None:
    """Raise the ValueError that a class of torch raises for ``arguments``, the others at their defaults.

    No optimizer is made, as the first one of a process imports for more than a second.
    """
    import torch

    def accept(self: Any, *_: Any) -> None:
        raise _AcceptedError  # a class calls this once it has checked its arguments

    checked = type("Checked", (kind, type("Base", (torch.optim.Optimizer,), {"__init__": accept})), {})
    with suppress(_AcceptedError):
        checked([], **arguments)


def _validated(given: Any) -> Optimizer:
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, dict) and is_builder(given.get("class")):
        return UserOptimizer.model_validate(given)
    classes: dict[str, type[Optimizer]] = {**_classes(given), BUILDER: UserOptimizer}
    return validated_by_class(given, classes)


AnyOptimizer = Annotated[SerializeAsAny[Optimizer], PlainValidator(_validated)]
"""An optimizer of the class that the key `class` names."""
