"""The user's own code: functions that params.yaml names, such as `my_package.my_module:build`.

Such a function is called a builder. It makes a model, a schedule or an optimizer. Reading params.yaml does not import
any builder.
"""

import inspect
import keyword
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator

from pipeline.errors import UserError, did_you_mean

TORCHVISION = "torchvision:"
"""Prefix of the names of torchvision's models in params.yaml."""
BUILDER = "my_package.my_module:build"
"""An example of a builder's name, for error messages."""


def is_builder(name: object) -> bool:
    """Return True if ``name`` is the name of a user's builder, not of a torchvision model."""
    return isinstance(name, str) and ":" in name and not name.startswith(TORCHVISION)


def _checked(name: str) -> str:
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise ValueError(f"{name!r} is not a builder; write it as {BUILDER}")
    return name


BuilderName = Annotated[str, AfterValidator(_checked)]
"""The name of a builder: its module, a colon and its function, as in `BUILDER`."""


def builder(what: str, name: str) -> Callable[..., Any]:
    """Import and return a builder. Its module can be in the current folder, as with `python -m`.

    Args:
        what: the kind of object that the builder makes, such as `model`, for error messages.
        name: the builder's module and function.

    Raises:
        UserError: the module cannot be imported, or does not have the function.
    """
    path, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = import_module(path)
    except Exception as error:  # the user's module can raise any exception
        raise UserError(f"{what} {name}: {path} cannot be imported ({told(error)})") from error
    found: object = getattr(module, function, None)
    if not callable(found):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise UserError(f"{what} {name}: {path} has no function {function!r}; {did_you_mean(function, names)}")
    return found


def check_names(names: Iterable[str], reserved: Mapping[str, str]) -> None:
    """Check that the names of the user's settings can be used as names of a builder's arguments.

    Args:
        names: the names of the settings.
        reserved: maps each name that is not allowed to the reason.

    Raises:
        ValueError: a name is reserved, or is not a valid name for an argument.
    """
    for name in names:
        if name in reserved:
            raise ValueError(f"{name} is not a setting: {reserved[name]}")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{name!r} cannot be the name of an argument; allowed: letters, digits and '_'")


def check_settings(what: str, name: str, builds: Callable[..., Any], given: Iterable[str], ours: Iterable[str]) -> None:
    """Check that a builder accepts the given arguments, and that no argument is missing.

    Args:
        what: the kind of object that the builder makes, for error messages.
        name: the name of the builder.
        builds: the builder, whose first argument is passed by position.
        given: the names of all keyword arguments.
        ours: the names of the keyword arguments that the pipeline adds; all others are the user's settings.

    Raises:
        UserError: the builder does not accept an argument, or needs an argument that is not given.
    """
    try:
        parameters = [*inspect.signature(builds).parameters.values()][1:]
    except (TypeError, ValueError):  # some functions written in C have no signature
        return
    named = [p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    given, ours, accepted = list(given), list(ours), [p.name for p in named]
    if missing := [p.name for p in named if p.default is p.empty and p.name not in given]:
        raise UserError(f"{what} {name}: the setting {missing[0]!r} is missing")
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return
    for argument in given:
        if argument in accepted:
            continue
        if argument in ours:
            raise UserError(f"{what} {name}: must also accept {' and '.join(ours)}, but has no {argument!r}")
        allowed = [setting for setting in accepted if setting not in ours]
        raise UserError(f"{what} {name}: unknown setting {argument!r}; {did_you_mean(argument, allowed)}")


def told(error: BaseException) -> str:
    """Return the type and the message of an error from the user's code as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def source(name: str) -> Path | None:
    """Return the file of a builder's module or the folder of its top-level package, or None if there is neither."""
    outermost = name.partition(":")[0].partition(".")[0]
    # importlib.util.find_spec would look in sys.modules, and could find a copy of the module that MLflow has imported.
    spec = PathFinder.find_spec(outermost, [os.getcwd(), *sys.path])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def files(name: str) -> list[tuple[Path, Path]]:
    """Return a pair (import folder, file) for each file of a builder's module or top-level package."""
    found = source(name)
    if found is None:
        return []
    return [(found.parent, file) for file in (sorted(found.rglob("*.py")) if found.is_dir() else [found])]
