"""A step of runs that are trained together: gradients, clipping, optimizers, and the sums of their losses."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.training.accumulation import Part
from pipeline.training.batches import Examples
from pipeline.training.state import Training
from pipeline.training.together import together


class Step:
    """What happens to runs with each batch; call it with one.

    Args:
        runs: one; or several at the same position that are trained as a stack.
        examples: that they are trained on.
    """

    def __init__(self, runs: Sequence[Training], examples: Examples) -> None:
        self.runs = runs
        self.network = together(runs, examples)
        self._totals = torch.stack([run.total for run in runs])
        for run, total in zip(runs, self._totals.unbind(), strict=True):
            run.total = total  # a view, so that one addition serves them all

    def __call__(self, x: Tensor, y: Tensor, part: Part) -> None:
        """Train on a batch.

        Args:
            x: inputs, (networks, batch, ...), those of idle copies among them.
            y: targets, (networks, batch).
            part: the batch's place in a step.
        """
        self.compute(x, y, part)
        if part.ends:
            self.update()

    def compute(self, x: Tensor, y: Tensor, part: Part) -> None:
        """Compute gradients, and add up losses."""
        losses = self.network.backward(x, y, part)
        self._totals += losses * (y.shape[1] if self.runs[0].loss.mean else 1)

    def update(self) -> None:
        """Clip gradients, and let each run's optimizer step."""
        for run in self.runs:
            run.clip_gradients()
            run.optimizer.step()
