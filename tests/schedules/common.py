"""The schedules in params.yaml, with some settings changed, and their rates."""

from typing import Any

import torch

from pipeline.runs.params import Run
from pipeline.schedules import Schedule, curve
from tests.helpers.project import SCHEDULERS, load

LR = 0.15
WITHOUT_PLATEAU = [name for name in SCHEDULERS if name != "plateau"]


def run(name: str, epochs: int, batches: int = 1, lr: float = LR, **settings: Any) -> Run:
    """Return a run with a scheduler from params.yaml, some of whose settings are changed."""
    changes = {f"schedulers__{name}__{key}": value for key, value in settings.items()}
    params = load(
        scheduler=name, lr=lr, **{"tasks__digits-mlp__epochs": epochs, "tasks__digits-mlp__batch_size": 1}, **changes
    )
    return params.runs(examples=batches)[0]


def schedule(name: str, **settings: Any) -> Schedule:
    return run(name, 40, **settings).schedule


def resolved(name: str, epochs: int, batches: int = 1, **settings: Any) -> dict[str, Any]:
    return run(name, epochs, batches, **settings).schedule.resolve(LR, epochs, batches)


def rates(name: str, epochs: int, batches: int = 1, lr: float = LR, **settings: Any) -> list[float]:
    return curve(run(name, epochs, batches, lr, **settings).schedule, lr, epochs, batches)


def optimizer(momentum: float = 0.9) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=LR, momentum=momentum)
