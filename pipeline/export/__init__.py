"""Schedules as code to paste into other projects, which may use PyTorch, Transformers, Lightning or timm.

The code does not import this package. A `Recipe` says what to export, `scheduler_code` writes torch's schedulers, and a
module for each library writes the code around them, or the library's own schedule if that has the same curve.
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
"""The function that writes the code for each library."""

__all__ = ["TARGETS", "Recipe"]
