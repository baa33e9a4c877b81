"""The learning-rate range test: train one batch at each of rising rates, and see what the loss does.

Source: Smith 2017, Cyclical Learning Rates for Training Neural Networks, section 3.3 (arXiv:1506.01186).
"""

import math
from collections.abc import Sequence

import torch

from pipeline.data.store import Split
from pipeline.training.batches import Examples
from pipeline.training.stacks import together
from pipeline.training.state import Training


def range_test(runs: Sequence[Training], train: Split, rates: Sequence[float]) -> list[list[float]]:
    """Train one batch at each rate, and return the loss of each example of a batch, (runs, 1 + rates).

    A loss is that of a batch before it is trained on. So the first is that of the initial weights, and each one after
    it shows what the rate of the same place has done. The test ends early, and the rest is NaN, if the losses of all
    runs are no longer finite.

    Args:
        runs: at their start: one, or several whose networks are `stackable`, which are trained as a stack.
        train: the examples, in the order in which a run meets them; they are repeated as often as it takes.
        rates: one for each batch; parameter groups with a base rate of their own keep it.
    """
    first = runs[0]
    examples = Examples(train, first.data, first.run, first.device)
    network = together([run.network for run in runs], first.run.batch_size, first.loss)
    losses: list[torch.Tensor] = []
    epoch, is_over = 0, False
    while not is_over:
        epoch += 1
        for batch in zip(*[run.start_epoch(epoch, examples) for run in runs], strict=True):
            x, y = examples.take(batch)
            found = network.backward(x, y)
            losses.append(found if first.loss.mean else found / y.shape[1])
            is_over = len(losses) > len(rates) or not bool(torch.isfinite(found).any())
            if is_over:
                break
            for run in runs:
                base_rates = run.run.optimizer_settings.base_rates(rates[len(losses) - 1])
                for group, rate in zip(run.optimizer.param_groups, base_rates, strict=True):
                    group["lr"] = rate
                run.optimizer.step()
    missing = [math.nan] * (1 + len(rates) - len(losses))
    return [each + missing for each in torch.stack(losses, dim=1).tolist()]
