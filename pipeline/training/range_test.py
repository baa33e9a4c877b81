"""The learning-rate range test, which takes one step at each of a series of increasing rates and records the losses.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3 (arXiv:1506.01186).
"""

import math
from collections.abc import Sequence

import torch

from pipeline.datasets.store import Split
from pipeline.training.accumulation import micro_batch
from pipeline.training.loop import backward_of
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet


def range_test(runs: Sequence[Training], train: Split, rates: Sequence[float]) -> list[list[float]]:
    """Take one step at each rate, and return the mean loss before each step and after the last step, (runs, 1 + rates).

    The first loss is the loss of the initial weights; loss i + 1 shows the effect of the step at rate i. The test ends
    early once no run has a finite loss; all remaining losses are NaN.

    Args:
        runs: one run that has not started to train, or several such runs that `stacking` trains as a stack.
        train: the training split; its batches are the same as in training, for as many epochs as the test needs.
        rates: one rate for each step; parameter groups with their own base rate keep that rate.
    """
    first = runs[0]
    examples = TrainingSet(train, first.data, first.workload, first.device)
    backward = backward_of(runs, examples)
    losses: list[torch.Tensor] = []
    loss = torch.zeros(len(runs))
    is_over = False
    while not is_over:
        for batches in zip(*[run.start_epoch(examples) for run in runs], strict=True):
            x, y = examples.take(batches, [run.draw for run in runs])
            part = micro_batch(first.workload, first.batch, len(examples))
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
    """Set the base rate of a run; a final parameter group without weight decay gets the rate of the group before it."""
    base_rates = run.workload.optimizer.base_rates(lr)
    for index, group in enumerate(run.optimizer.param_groups):
        group["lr"] = base_rates[min(index, len(base_rates) - 1)]
