"""Somebody's own code, named in params.yaml as `my_package.my_module:build`."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, did_you_mean


def is_own(name: str) -> bool:
    """Whether a model's name is that of somebody's own builder."""
    return ":" in name


def builder(name: str) -> Callable[..., Any]:
    """The function of that name, looked for in the current folder as `python -m` does.

    Raises:
        UserError: it cannot be imported, or there is no such function.
    """
    path, _, function = name.partition(":")
    _look_here()
    try:
        module = import_module(path)
    except Exception as error:  # whatever that module raises
        reason = " ".join(str(error).split())
        raise UserError(f"model {name}: {path} cannot be imported ({type(error).__name__}: {reason})") from error
    found: object = getattr(module, function, None)
    if not callable(found):
        names = [key for key, value in vars(module).items() if callable(value)]
        raise UserError(f"model {name}: {path} has no function {function!r}; {did_you_mean(function, names)}")
    return found


def source(name: str) -> Path | None:
    """The file or the folder of the package that holds the function; None where it cannot be found."""
    outermost = name.partition(":")[0].partition(".")[0]
    # Not importlib.util.find_spec: MLflow imports the copies that it has made of it, and they are found in sys.modules.
    spec = PathFinder.find_spec(outermost, [os.getcwd(), *sys.path])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None


def _look_here() -> None:
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
