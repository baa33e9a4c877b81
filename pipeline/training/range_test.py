"""The learning-rate range test: train one batch at each of rising rates, and watch the loss.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3 (arXiv:1506.01186).
"""

import math
from collections.abc import Sequence

import torch

from pipeline.datasets.store import Split
from pipeline.training.loop import backward_of, fill
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet


def range_test(runs: Sequence[Training], train: Split, rates: Sequence[float]) -> list[list[float]]:
    """Train one step at each rate, and return the mean loss of each batch, (runs, 1 + rates).

    The loss of a batch is computed before the batch is trained on: the first is that of the initial weights, and each
    later one shows the effect of the rate of the same place. The test ends early, and the rest is NaN, if the losses of
    all runs are no longer finite.

    Args:
        runs: one run at its start; or several, if `stacking` has a stack for them.
        train: training split, in the order of a run; it is repeated as often as necessary.
        rates: one rate for each step; parameter groups with a base rate of their own keep it.
    """
    first = runs[0]
    examples = TrainingSet(train, first.data, first.workload, first.device)
    backward, idle = backward_of(runs, examples)
    losses: list[torch.Tensor] = []
    loss = torch.zeros(len(runs))
    is_over = False
    while not is_over:
        for batches in zip(*[run.start_epoch(examples) for run in runs], strict=True):
            x, y = examples.take(fill(batches, idle), fill([run.draw for run in runs], idle))
            part = first.micro_batch(len(examples))
            of_batch = backward(x, y, part)
            mean = of_batch if first.loss.mean else of_batch / y.shape[1]
            loss = mean * part.share if part.begins_step else loss + mean * part.share
            if part.ends_step:
                losses.append(loss)
                is_over = len(losses) > len(rates) or not bool(torch.isfinite(loss).any())
                if is_over:
                    break
            for run in runs:
                run.batch += 1
                if part.ends_step:
                    run.clip_gradients()
                    _set_rates(run, rates[len(losses) - 1])
                    run.optimizer.step()
        for run in runs:
            run.epoch, run.batch = run.epoch + 1, 0
    missing = [math.nan] * (1 + len(rates) - len(losses))
    return [of_run + missing for of_run in torch.stack(losses, dim=1).tolist()]


def _set_rates(run: Training, lr: float) -> None:
    """Set the base rate of a run; weights without decay are a group after those with rates of their own."""
    base_rates = run.workload.optimizer.base_rates(lr)
    for index, group in enumerate(run.optimizer.param_groups):
        group["lr"] = base_rates[min(index, len(base_rates) - 1)]
