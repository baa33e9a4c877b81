"""The learning-rate range test: train one batch at each of rising rates, and see what the loss does.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3 (arXiv:1506.01186).
"""

import math
from collections.abc import Sequence

import torch

from pipeline.datasets.store import Split
from pipeline.training.batches import Examples
from pipeline.training.state import Training
from pipeline.training.together import together


def range_test(runs: Sequence[Training], train: Split, rates: Sequence[float]) -> list[list[float]]:
    """Train one step at each rate, and return the loss of each example of a batch, (runs, 1 + rates).

    A loss is that of a batch before it is trained on. So the first is that of the initial weights, and each one after
    it shows what the rate of the same place has done. The test ends early, and the rest is NaN, if the losses of all
    runs are no longer finite.

    Args:
        runs: at their start: one; or several, if there is a stack for them: see `pipeline.training.together`.
        train: the examples, in the order in which a run meets them; they are repeated as often as it takes.
        rates: one for each batch; parameter groups with a base rate of their own keep it.
    """
    first = runs[0]
    examples = Examples(train, first.data, first.run, first.device)
    network = together(runs, examples)
    losses: list[torch.Tensor] = []
    loss = torch.zeros(len(runs))
    epoch, is_over = 0, False
    while not is_over:
        epoch += 1
        for batch in zip(*[run.start_epoch(epoch, examples) for run in runs], strict=True):
            x, y = examples.take(network.filled(batch), network.filled([run.draw for run in runs]))
            part = first.part(len(examples))
            found = network.backward(x, y, part)
            each = found if first.loss.mean else found / y.shape[1]
            loss = each * part.share if part.begins else loss + each * part.share
            if part.ends:
                losses.append(loss)
                is_over = len(losses) > len(rates) or not bool(torch.isfinite(loss).any())
                if is_over:
                    break
            for run in runs:
                run.batch += 1
                if part.ends:
                    run.clip_gradients()
                    _set_rates(run, rates[len(losses) - 1])
                    run.optimizer.step()
        for run in runs:
            run.batch = 0
    missing = [math.nan] * (1 + len(rates) - len(losses))
    return [each + missing for each in torch.stack(losses, dim=1).tolist()]


def _set_rates(run: Training, lr: float) -> None:
    """Set the base rate of a run; the weights without decay are a group beyond those that have rates of their own."""
    base_rates = run.run.optimizer_settings.base_rates(lr)
    for index, group in enumerate(run.optimizer.param_groups):
        group["lr"] = base_rates[min(index, len(base_rates) - 1)]
