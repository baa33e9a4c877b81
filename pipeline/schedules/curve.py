"""Learning-rate curves without training."""

from pipeline.schedules.base import Schedule


def curve(schedule: Schedule, lr: float, epochs: int, batches: int) -> list[float]:
    """Return the learning rate of every batch of a run, in the order of training.

    The curve of ReduceLROnPlateau, which depends on the training, is the one of a validation loss that never improves.

    Args:
        schedule: its settings.
        lr: the base rate.
        epochs: of the run.
        batches: of an epoch.

    Returns:
        ``epochs`` x ``batches`` rates.
    """
    import torch

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr, momentum=0.9)
    scheduler = schedule.build(optimizer, epochs, batches)
    rates = []
    steps = schedule.steps_per_epoch(batches)
    for _ in range(epochs):
        for _ in range(steps):
            # All batches of an epoch have one rate if the scheduler is stepped after it.
            rates += [float(scheduler.get_last_lr()[0])] * (batches // steps)
            optimizer.step()
            if schedule.interval == "batch":
                scheduler.step()
        schedule.step_epoch(scheduler, val_loss=1.0)
    return rates
