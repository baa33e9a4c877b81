"""Kinds of networks that can be stacked; their training data are noise."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pipeline.datasets import Split, Summary
from pipeline.runs.params import Run
from tests.helpers.project import load
from tests.training.fitting import Splits


@dataclass(frozen=True)
class Kind:
    """A kind of network, together with its data."""

    stack: str
    task: str
    model: dict[str, Any]
    shape: tuple[int, ...]
    """The shape of an example; a single number is the number of tokens."""
    changes: dict[str, Any]

    def runs(self, **changes: Any) -> list[Run]:
        own = {"model": self.model, "epochs": 2, "batch_size": 8, "normalize": None, **self.changes, **changes}
        general = {key: own.pop(key) for key in list(own) if key in ("scheduler", "optimizer", "lr") or "__" in key}
        of_task = {f"tasks__{self.task}__{key}": value for key, value in own.items()}
        return load(**{"task": self.task, "seeds": 1, **general, **of_task}).runs(20)

    @property
    def summary(self) -> Summary:
        if len(self.shape) == 1:
            return Summary("text", {}, "tokens", "", "", [], 0, [*self.shape], 11, {}, {})
        return Summary("pictures", {}, "image", "", "", list("0123456789"), 255, [*self.shape], 0, {}, {})

    @property
    def splits(self) -> Splits:
        """Splits with twenty training examples, so the last of three batches of 8 is only half full."""
        generator = torch.Generator().manual_seed(0)
        if len(self.shape) == 1:
            windows = torch.randint(0, 11, (30, self.shape[0] + 1), generator=generator, dtype=torch.uint8)
            x, y = windows[:, :-1], windows[:, 1:]
        else:
            x = torch.randint(0, 256, (30, *self.shape), generator=generator, dtype=torch.uint8)
            y = torch.randint(0, 10, (30,), generator=generator, dtype=torch.uint8)
        return Split(x[:20], y[:20]), Split(x[20:], y[20:])


class Residual(nn.Module):
    """A user's network that is not sequential, and draws random numbers."""

    def __init__(self, shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(shape[1] * shape[2], 16), nn.Linear(16, 16, bias=False)
        self.norm, self.last = nn.BatchNorm1d(16), nn.Linear(16, classes)
        self.unused = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states = torch.relu(self.first(x.mean(dim=1).flatten(1)))
        states = states + nn.functional.dropout(self.norm(self.second(states)), 0.2, self.training)
        logits: torch.Tensor = self.last(states)
        return logits


CNN = {"name": "cnn", "channels": [4, 6], "hidden": [8], "dropout": 0.5}
GPT = {"name": "gpt", "layers": 1, "heads": 2, "width": 8, "dropout": 0.1}
KINDS = {
    "mlp": Kind("sequential", "mnist-mlp", {"name": "mlp", "hidden": [16, 8]}, (1, 8, 8), {}),
    "lenet": Kind("sequential", "cifar10-lenet", {"name": "lenet", "channels": [2, 3], "hidden": [8]}, (3, 16, 16), {}),
    "cnn": Kind("sequential", "mnist-cnn", CNN, (1, 20, 16), {}),
    "resnet": Kind("mapped", "cifar10-lenet", {"name": "cifar-resnet", "depth": 8}, (3, 6, 5), {}),
    "gpt": Kind("mapped", "imdb-gpt", GPT, (6,), {"train_subset": 20}),
    "own": Kind("mapped", "mnist-mlp", {"name": "tests.training.kinds:Residual"}, (2, 6, 6), {}),
}
