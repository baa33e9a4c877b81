"""Exports schedules as PyTorch, Transformers, Lightning or timm code that can be pasted into other projects.

The exported code does not import this package. A `Recipe` says what to export, and `scheduler_code` writes the code
that creates the scheduler. For each library, a separate module writes the rest of the code. If the library itself has a
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
"""Maps each allowed value of `--to` to the function that writes the code for that library."""

__all__ = ["TARGETS", "Recipe"]
