"""What may be set: the types of what stands in params.yaml, and nothing heavier.

Each resolves itself to plain numbers: the arguments that what is built from it takes.
"""

from typing import get_args

from pipeline.settings.base import Horizon, Rate, Resolved, Settings
from pipeline.settings.datasets import AnyDataset
from pipeline.settings.models import OWN, AnyModel
from pipeline.settings.optimizers import AnyOptimizer
from pipeline.settings.schedulers import AnySchedule
from pipeline.settings.tasks import Task

__all__ = [
    "CLASSES",
    "TAGS",
    "AnyDataset",
    "AnyModel",
    "AnyOptimizer",
    "AnySchedule",
    "Horizon",
    "Rate",
    "Resolved",
    "Settings",
    "Task",
]

CLASSES = frozenset(kind.__name__ for union in (AnySchedule, AnyOptimizer) for kind in get_args(get_args(union)[0]))
"""Every name that may stand under `class`."""
TAGS = frozenset(
    [OWN]
    + [name for kind in get_args(get_args(AnyDataset)[0]) for name in get_args(kind.model_fields["name"].annotation)]
    + [tag.tag for kind in get_args(get_args(AnyModel)[0]) for tag in get_args(kind)[1:]]
)
"""Every name that may stand under `name`, by which pydantic tells settings apart."""
