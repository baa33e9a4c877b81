"""A user's own schedules: one of torch's schedulers, and a class that has only the required methods."""

import math
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, PolynomialLR


def falling(optimizer: Optimizer, epochs: int, steps: int, power: float = 1.0) -> LRScheduler:
    """lr · (1 - t/T)^power"""
    return PolynomialLR(optimizer, total_iters=steps, power=power)


class Restarting:
    """lr · (1 + cos(π · u))/2, where u rises from 0 to 1 until step `at` · T, and then once more."""

    def __init__(self, optimizer: Optimizer, *, epochs: int, steps: int, at: float) -> None:
        self.optimizer, self.lr = optimizer, optimizer.param_groups[0]["lr"]
        self.restart, self.end, self.t = round(at * steps), steps, 0

    def step(self) -> None:
        self.t += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()

    def rate(self) -> float:
        start, end = (0, self.restart) if self.t < self.restart else (self.restart, self.end)
        return float(self.lr * (1 + math.cos(math.pi * (self.t - start) / (end - start))) / 2)

    def get_last_lr(self) -> list[float]:
        return [self.rate()]

    def state_dict(self) -> dict[str, Any]:
        return {"t": self.t}


class Loadable(Restarting):
    """`Restarting` with `load_state_dict`, which Lightning requires."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.t = state["t"]


FALLING: dict[str, Any] = {"class": f"{__name__}:falling", "interval": "batch", "power": 2.0}
RESTARTING: dict[str, Any] = {"class": f"{__name__}:Restarting", "at": 0.5}
LOADABLE = RESTARTING | {"class": f"{__name__}:Loadable"}
