"""Run exported code with a tiny model and tiny data, and record the rate of every optimizer step."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from pipeline.export import Recipe
from pipeline.optimizers import AnyOptimizer
from tests.helpers.project import load

NO_INTEGRATIONS = {"DISABLE_MLFLOW_INTEGRATION": "TRUE", "HF_HUB_OFFLINE": "1", "WANDB_DISABLED": "true"}
"""Environment variables that stop Transformers' Trainer from logging to installed trackers and calling the hub."""

REFUSED = {("ema", "transformers"), ("swa", "transformers"), ("swa", "timm")}
"""Pairs of a scheduler and a library that cannot compute the scheduler's average."""


def optimizer(settings: dict[str, Any] | None = None) -> AnyOptimizer:
    """Return an optimizer with the given settings or, without settings, the SGD of params.yaml."""
    return load().optimizers["sgd"] if settings is None else load(optimizers__mine=settings).optimizers["mine"]


def recipe(scheduler: str, epochs: int, batches: int, lr: float = 0.1, **changes: Any) -> Recipe:
    """Return the recipe for a scheduler in params.yaml, with some of its settings changed."""
    params = load(**{f"schedulers__{scheduler}__{key}": value for key, value in changes.items()})
    return of(params.schedule(scheduler)[0].fitted(params.optimizers["sgd"]), epochs, batches, lr, scheduler)


def of(schedule: Any, epochs: int, batches: int, lr: float = 0.1, name: str = "mine") -> Recipe:
    return Recipe(name, schedule, optimizer(), lr, epochs, batches, batch_size=1, remarks=["A remark."])


class Model(nn.Module):
    """A model for a plain loop and for Trainer; its loss is always 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None) -> Any:
        outputs = x * self.weight
        return outputs if labels is None else {"loss": loss_function(outputs, labels), "logits": outputs}


def loss_function(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return (outputs * 0).sum() + 1.0


@contextmanager
def recorded() -> Iterator[list[float]]:
    """Yield a list that collects the rate of every step of every optimizer."""
    rates: list[float] = []

    def note(used: torch.optim.Optimizer, *_: Any) -> None:
        group = used.param_groups[0]  # here, schedule-free optimizers store the rate of their warm-up
        rates.append(float(group.get("scheduled_lr", group["lr"])))

    handle = register_optimizer_step_post_hook(note)
    try:
        yield rates
    finally:
        handle.remove()


def run(code: str, batches: int) -> list[float]:
    """Run exported code, after defining the names that it expects; return the rate of every batch."""
    from torch.utils.data import DataLoader, TensorDataset

    examples = torch.ones(batches, 1)
    loader = DataLoader(TensorDataset(examples, examples), batch_size=1)
    items = [{"x": torch.ones(1), "labels": torch.ones(1)}] * batches
    names = {
        "model": Model(),
        "loss_function": loss_function,
        "train_loader": loader,
        "val_loader": loader,
        "train_dataset": items,
        "eval_dataset": items,
        "validate": lambda model: 1.0,
    }
    with recorded() as rates:
        exec(compile(code, "exported.py", "exec"), names)
    return rates
