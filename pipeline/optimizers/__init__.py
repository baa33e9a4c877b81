"""Defines the optimizers. Each optimizer is a class in one of this package's modules.

Importing the package imports its modules, which registers the classes. Modules whose names begin with `_` are not
imported here, because they import torch, which is slow. A new optimizer needs a class in a module of this package, an
entry in params.yaml, and a test.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    if not _module.name.startswith("_"):
        import_module(f"{__name__}.{_module.name}")

from pipeline.optimizers.base import REGISTRY, Optimizer  # noqa: E402
from pipeline.optimizers.own import AnyOptimizer  # noqa: E402

__all__ = ["REGISTRY", "AnyOptimizer", "Optimizer"]
