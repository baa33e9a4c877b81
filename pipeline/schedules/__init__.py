"""The learning-rate schedules: one class each, found by importing every module of this package.

A new schedule is a class in a module here, an entry in params.yaml, and its closed form in the tests.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    if _module.name != "__main__":
        import_module(f"{__name__}.{_module.name}")

from pipeline.schedules.base import REGISTRY, Schedule  # noqa: E402
from pipeline.schedules.curve import curve, top  # noqa: E402
from pipeline.schedules.own import AnySchedule  # noqa: E402
from pipeline.schedules.table import table  # noqa: E402

__all__ = ["REGISTRY", "AnySchedule", "Schedule", "curve", "table", "top"]
