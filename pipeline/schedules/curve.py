"""Computes the curves of schedules without training."""

from collections.abc import Sequence

from pipeline.errors import UserError
from pipeline.schedules.base import Schedule

HIGHEST = 1e30
"""The highest allowed rate. A higher rate is surely a mistake."""
LOWEST = 1e-100
"""If no rate is above this value, `top` treats all rates as 0."""


def curve(schedule: Schedule, lr: float, epochs: int, batches: int) -> list[float]:
    """Return the learning rate of every batch in a run, in training order.

    The curve of ReduceLROnPlateau assumes that the validation loss never improves.

    Args:
        schedule: the settings of the schedule.
        lr: the base rate.
        epochs: the number of epochs in the run.
        batches: the number of batches in an epoch.

    Returns:
        A list of ``epochs`` x ``batches`` rates.

    Raises:
        UserError: a rate is above `HIGHEST`, or is not a number.
    """
    try:
        rates = _curve(schedule, lr, epochs, batches)
    except OverflowError:
        raise UserError(f"{schedule.class_}: the LR grows without end; allowed: up to {HIGHEST:g}") from None
    for number, rate in enumerate(rates):
        if not abs(rate) <= HIGHEST:
            epoch = number // batches + 1
            raise UserError(f"{schedule.class_}: the LR is {rate:.4g} in epoch {epoch}; allowed: up to {HIGHEST:g}")
    return rates


def top(rates: Sequence[float]) -> float:
    """Return the highest rate, or 1 if all rates are 0, for use as the upper end of an axis."""
    highest = max(rates)
    return highest if highest > LOWEST else 1.0


def _curve(schedule: Schedule, lr: float, epochs: int, batches: int) -> list[float]:
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr, momentum=0.9)
    scheduler = schedule.build(optimizer, epochs, batches)
    rates = []
    steps = schedule.steps_per_epoch(batches)
    for _ in range(epochs):
        for _ in range(steps):
            # If the scheduler is stepped once per epoch, all batches of an epoch have the same rate.
            rates += [float(scheduler.get_last_lr()[0])] * (batches // steps)
            optimizer.step()
            if schedule.interval == "batch":
                scheduler.step()
        schedule.step_epoch(scheduler, val_loss=1.0)
    return rates
