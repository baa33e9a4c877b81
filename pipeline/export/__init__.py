"""Exports schedules as code to paste into other projects, for PyTorch, Transformers, Lightning or timm.

The exported code does not import this package. A `Recipe` says what to export, and `scheduler_code` writes torch's
schedulers. A module for each library writes the code around the scheduler. If the library itself has a schedule with
the same curve, the code uses that schedule instead of torch's.
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
"""Maps each value of `--to` to the function that writes the code for that library."""

__all__ = ["TARGETS", "Recipe"]
