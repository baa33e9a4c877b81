"""A schedule as code that one pastes into another project: for PyTorch, Transformers, Lightning or timm.

The code needs nothing of this package. `recipe` says what is exported, `schedulers` writes torch's schedulers,
and a module for each target writes the code around them, or the target's own schedule where it has the same.
"""

from collections.abc import Callable

from pipeline.export import lightning, timm, torch, transformers
from pipeline.export.recipe import Recipe

TARGETS: dict[str, Callable[[Recipe], str]] = {
    "torch": torch.code,
    "transformers": transformers.code,
    "lightning": lightning.code,
    "timm": timm.code,
}
"""What writes the code for each library."""

__all__ = ["TARGETS", "Recipe"]
