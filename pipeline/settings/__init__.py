"""The settings of params.yaml but the schedules': typed, and nothing heavier than pydantic.

Each resolves to plain numbers: the arguments of what is built from it.
"""

from pipeline.settings.base import Rate, Resolved, Settings
from pipeline.settings.datasets import AnyDataset
from pipeline.settings.models import AnyModel
from pipeline.settings.tasks import Task
from pipeline.settings.torch_optimizers import AnyOptimizer

__all__ = ["AnyDataset", "AnyModel", "AnyOptimizer", "Rate", "Resolved", "Settings", "Task"]
