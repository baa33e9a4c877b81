"""One run: a plain loop that yields an epoch's figures."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pipeline import models, schedules
from pipeline.data import Part, Summary
from pipeline.params import Run
from pipeline.records import Epoch

LOSSES: dict[str, nn.Module] = {"cross-entropy": nn.CrossEntropyLoss()}
SCORING_BATCH = 1024


@dataclass
class Training:
    """A run's network and what trains it; the same seed gives the same weights and batches whatever the schedule."""

    run: Run
    data: Summary
    device: torch.device

    def __post_init__(self) -> None:
        # Gradients that vanish become denormal numbers, which a processor computes with at a tenth of its speed.
        torch.set_flush_denormal(True)
        torch.manual_seed(self.run.seed)
        self.model = models.build(self.run.model, self.data.input_shape, len(self.data.classes)).to(self.device)
        self.optimizer = build_optimizer(self.run.optimizer_settings, self.model, self.run.lr)
        self.scheduler = schedules.build(self.run.schedule, self.optimizer)
        self.batches = torch.Generator().manual_seed(self.run.seed)

    def epochs(self, train: Part, val: Part) -> Iterator[Epoch]:
        """Train, and yield the figures of each epoch. A diverged epoch is the last."""
        run, model, optimizer, scheduler = self.run, self.model, self.optimizer, self.scheduler
        loss_of = LOSSES[run.loss]
        x, y = train.x.to(self.device), train.y.to(self.device)
        per_batch = schedules.steps_per_batch(run.schedule)
        lr = run.lr
        for number in range(1, run.epochs + 1):
            model.train()
            total = torch.zeros((), device=self.device)
            order = torch.randperm(len(x), generator=self.batches).to(self.device)
            for batch in torch.split(order, run.batch_size):
                optimizer.zero_grad()
                loss = loss_of(model(inputs(x[batch], self.data)), y[batch].long())
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(batch)
                lr = float(scheduler.get_last_lr()[0])
                if per_batch:
                    scheduler.step()
            val_loss, val_accuracy = score(model, val, self.data, run.loss, self.device)
            figures = Epoch(number, lr, total.item() / len(x), val_loss, val_accuracy)
            yield figures
            if figures.diverged:
                return
            schedules.end_of_epoch(scheduler, run.schedule, val_loss)


def build_optimizer(settings: dict[str, Any], model: nn.Module, lr: float) -> torch.optim.Optimizer:
    """Torch's optimizer of the class that ``settings`` name, with the rest as its arguments."""
    arguments = {key: value for key, value in settings.items() if key != "class"}
    optimizer: torch.optim.Optimizer = getattr(torch.optim, settings["class"])(model.parameters(), lr=lr, **arguments)
    return optimizer


def inputs(pixels: Tensor, data: Summary) -> Tensor:
    """What the network sees of ``pixels``: float32 in [0, 1], same shape."""
    return pixels.float() / data.white


@torch.no_grad()
def score(model: nn.Module, part: Part, data: Summary, loss: str, device: torch.device) -> tuple[float, float]:
    """Mean loss and accuracy (share of examples, 0 to 1) of ``model`` on ``part``."""
    model.eval()
    total_loss = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for x, y in zip(torch.split(part.x, SCORING_BATCH), torch.split(part.y, SCORING_BATCH), strict=True):
        target = y.to(device).long()
        output = model(inputs(x.to(device), data))
        total_loss += LOSSES[loss](output, target).double() * len(x)
        correct += (output.argmax(dim=1) == target).sum()
    return total_loss.item() / len(part.x), correct.item() / len(part.x)
