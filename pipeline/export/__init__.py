"""Exports schedules as code to paste into other projects, for PyTorch, Transformers, Lightning or timm.

The exported code does not import this package. A `Recipe` says what to export, and `scheduler_code` writes the code
that creates the scheduler. A module for each library writes the code around the scheduler. If the library itself has a
schedule with the same curve, the code uses that schedule instead of torch's.
"""

from collections.abc import Callable

from pipeline.export import lightning, pytorch, timm, transformers
from pipeline.export.recipe import Recipe

TARGETS: dict[str, Callable[[Recipe], str]] = {
    "torch": pytorch.code,
    "transformers": transformers.code,
    "lightning": lightning.code,
    "timm": timm.code,
}
"""Maps each library that `--to` accepts to the function that writes the code for it."""

__all__ = ["TARGETS", "Recipe"]
