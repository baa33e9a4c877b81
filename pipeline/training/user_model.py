"""User models: networks of one's own, named in params.yaml as `my_package.my_module:build`."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, did_you_mean


def builder(name: str) -> Callable[..., Any]:
    """Import the function of that name; the current folder is searched too, as `python -m` does.

    Raises:
        UserError: it cannot be imported, or there is no such function.
    """
    path, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
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
    """Find the file of the function's module, or the folder of its outermost package; None where there is none."""
    outermost = name.partition(":")[0].partition(".")[0]
    # Not importlib.util.find_spec: MLflow imports its copies of the module, which sys.modules then holds.
    spec = PathFinder.find_spec(outermost, [os.getcwd(), *sys.path])
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(spec.origin) if spec.origin else None
