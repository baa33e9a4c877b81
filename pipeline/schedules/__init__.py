"""Defines the learning-rate schedules. Each schedule is a class in one of this package's modules.

Importing the package imports every module in it, which registers all schedule classes.

A new schedule needs a class in a module of this package, an entry in params.yaml, and a closed form in the tests.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

from pipeline.schedules.base import REGISTRY, Schedule  # noqa: E402
from pipeline.schedules.curve import curve, top  # noqa: E402
from pipeline.schedules.schedule_table import table  # noqa: E402
from pipeline.schedules.user_schedule import AnySchedule  # noqa: E402

__all__ = ["REGISTRY", "AnySchedule", "Schedule", "curve", "table", "top"]
