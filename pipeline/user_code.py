"""The user's own code, named in params.yaml as `my_package.my_module:build`: a builder of a model or of a schedule.

It is loaded only where it is called: what params.yaml says is checked without it.
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
"""How a builder is written, for lists of what is allowed."""


def is_builder(name: object) -> bool:
    """Return True if a name is meant as that of a user's builder, and not as one of torchvision's."""
    return isinstance(name, str) and ":" in name and not name.startswith(TORCHVISION)


def _checked(name: str) -> str:
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise ValueError(f"{name!r} is not a builder; write it as {BUILDER}")
    return name


BuilderName = Annotated[str, AfterValidator(_checked)]
"""Module and function of a builder."""


def builder(what: str, name: str) -> Callable[..., Any]:
    """Import a builder; the current folder is searched too, as `python -m` does.

    Args:
        what: it builds, such as model, for the error.
        name: module and function.

    Raises:
        UserError: it cannot be imported, or there is no such function.
    """
    path, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    try:
        module = import_module(path)
    except Exception as error:  # whatever that module raises
        raise UserError(f"{what} {name}: {path} cannot be imported ({told(error)})") from error
    found: object = getattr(module, function, None)
    if not callable(found):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise UserError(f"{what} {name}: {path} has no function {function!r}; {did_you_mean(function, names)}")
    return found


def check_names(names: Iterable[str], ours: Mapping[str, str]) -> None:
    """Check that the user's settings can be arguments of a builder.

    Args:
        names: of the settings.
        ours: names that are none, and why.

    Raises:
        ValueError: one is no setting, or cannot be the name of an argument.
    """
    for name in names:
        if name in ours:
            raise ValueError(f"{name} is no setting: {ours[name]}")
        if not name.isidentifier() or keyword.iskeyword(name):
            raise ValueError(f"{name!r} cannot be the name of an argument; allowed: letters, digits and '_'")


def check_settings(what: str, name: str, builds: Callable[..., Any], given: Iterable[str], ours: Iterable[str]) -> None:
    """Compare the settings of a builder with its signature.

    Args:
        what: it builds, for the error.
        name: of the builder.
        builds: the builder; its first argument is passed by position.
        given: the names of all that it is called with.
        ours: those among them that are not the user's settings.

    Raises:
        UserError: it takes other names.
    """
    try:
        parameters = [*inspect.signature(builds).parameters.values()][1:]
    except (TypeError, ValueError):  # some that are written in C have none
        return
    named = [each for each in parameters if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)]
    given, ours, taken = list(given), list(ours), [each.name for each in named]
    if missing := [each.name for each in named if each.default is each.empty and each.name not in given]:
        raise UserError(f"{what} {name}: the setting {missing[0]!r} is missing")
    if any(each.kind is each.VAR_KEYWORD for each in parameters):
        return
    for each in given:
        if each not in taken and each in ours:
            raise UserError(f"{what} {name}: is called with {', '.join(ours)} too, but takes no {each!r}")
        if each not in taken:
            own = [taken_name for taken_name in taken if taken_name not in ours]
            raise UserError(f"{what} {name}: unknown setting {each!r}; {did_you_mean(each, own)}")


def told(error: BaseException) -> str:
    """Return what an error of the user's code says, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def source(name: str) -> Path | None:
    """Find the file of a builder's module, or the folder of its outermost package; None where there is none."""
    outermost = name.partition(":")[0].partition(".")[0]
    # Not importlib.util.find_spec: MLflow imports its copies of the module, which sys.modules then holds.
    spec = PathFinder.find_spec(outermost, [os.getcwd(), *sys.path])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def files(name: str) -> list[tuple[Path, Path]]:
    """Return the files of a builder's module, or of its whole outermost package, each after the folder it is in."""
    found = source(name)
    if found is None:
        return []
    return [(found.parent, file) for file in (sorted(found.rglob("*.py")) if found.is_dir() else [found])]
