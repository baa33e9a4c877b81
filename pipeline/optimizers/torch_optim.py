"""Makes settings classes for the optimizers of `torch.optim` that have no class of their own in this package.

The settings of these optimizers, and their defaults, come from the signatures of torch's classes. This module imports
torch only if params.yaml names such an optimizer.

Some of these optimizers use the rate in a special way, which matters when comparing schedules: `Rprop` uses the rate
only in its first step, `Adafactor` limits the rate to 1 / sqrt(step), and `ASGD` uses the rate of the previous step.
The averaged weights that `ASGD` computes are not used.
"""

import inspect
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import Field, Strict, ValidationInfo, create_model, field_validator

from pipeline.optimizers.base import REGISTRY, Optimizer
from pipeline.settings import error_at

LEFT_OUT = ("params", "lr", "maximize", "foreach", "fused", "capturable", "differentiable")
"""Arguments of torch's classes that are not settings, because the run sets them or they control how torch computes."""
REFUSED = {
    "LBFGS": "computes the loss several times in a step, but training computes it once",
    "SparseAdam": "takes only sparse gradients, but networks here have dense ones",
}
"""The reasons why some torch classes cannot be used here, keyed by the name of the class."""


class _FromTorch(Optimizer):
    """Settings that are derived from the signature of a torch class.

    These optimizers are not fused. Torch can fuse only one of them, Adagrad, and that only on CPU and CUDA.
    """

    listed = False
    fused = False
    thread_invariant = False  # because Adafactor's sums over whole matrices depend on the number of threads

    @field_validator("*")
    @classmethod
    def _torch_takes_it(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name != "class_":
            check(cls.__name__, {str(info.field_name): value})
        return value


class _Rprop(_FromTorch):
    """Rprop. The rate is the size of the first step. Later step sizes depend only on the signs of the gradients."""

    follows_rate = False


@cache
def _made(name: str) -> type[Optimizer]:
    """Return a settings class for torch's class ``name``, with a field for each setting in the class's signature."""
    import torch

    kind = getattr(torch.optim, name)
    hints = get_type_hints(kind.__init__)
    fields: dict[str, Any] = {
        parameter.name: (_annotation(hints.get(parameter.name, Any)), Field(parameter.default, validate_default=True))
        for parameter in inspect.signature(kind).parameters.values()
        if parameter.name not in LEFT_OUT
    }
    base = _Rprop if name == "Rprop" else _FromTorch
    return create_model(name, __base__=base, __module__=__name__, __doc__=f"torch.optim.{name}", **fields)


def __getattr__(name: str) -> type[Optimizer]:
    """Return the settings class ``name``, which pickle looks up here when another process receives a run."""
    if not name[:1].isupper() or name not in (classes := all_classes()):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return classes[name]


@cache
def all_classes() -> dict[str, type[Optimizer]]:
    """Return the settings classes of all torch optimizers except those in `REFUSED`, in a dictionary keyed by name."""
    import torch

    torchs = {
        name
        for name, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    return REGISTRY | {name: _made(name) for name in sorted(torchs - {*REGISTRY, *REFUSED})}


def classes(given: Any) -> Mapping[str, type[Optimizer]]:
    """Return a dictionary that maps each allowed value of the key `class` to its settings class.

    Torch is imported only if the value of `class` in ``given`` is not in `REGISTRY`.

    Raises:
        ValidationError: the value of `class` in ``given`` is in `REFUSED`.
    """
    name = given.get("class") if isinstance(given, dict) else None
    if name is None or (isinstance(name, str) and name in REGISTRY):
        return REGISTRY
    if isinstance(name, str) and name in REFUSED:
        raise error_at(
            "class", name, "value_error", f"{name} {REFUSED[name]}; allowed: {', '.join(sorted(all_classes()))}"
        )
    return all_classes()


def _annotation(hint: Any) -> Any:
    """Convert torch's type hint to the type of a setting: tensors are removed, and tuples also accept YAML lists."""
    import torch

    if get_origin(hint) in (Union, UnionType):
        return Union[tuple(_annotation(part) for part in get_args(hint) if part is not torch.Tensor)]  # noqa: UP007
    if get_origin(hint) is tuple:
        parts: Any = tuple(_annotation(part) for part in get_args(hint))
        return Annotated[tuple[parts], Strict(False)]
    return hint


class _AcceptedError(Exception):
    pass


def check(name: str, arguments: dict[str, Any]) -> None:
    """Let torch check arguments of its class ``name``, with default values for all other arguments.

    The check does not create an optimizer, because creating the first optimizer in a process imports other modules,
    which takes more than a second.

    Raises:
        ValueError: the class does not accept an argument. The error message comes from torch.
    """
    import torch

    def accept(self: Any, *_: Any) -> None:
        raise _AcceptedError  # torch's classes call `accept` after they have checked their arguments

    kind = getattr(torch.optim, name)
    checked = type("Checked", (kind, type("Base", (torch.optim.Optimizer,), {"__init__": accept})), {})
    with suppress(_AcceptedError):
        checked([], **arguments)
