"""The training loop, of one run or of several that are trained together."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from pipeline.datasets.store import Split
from pipeline.runs.epoch import Epoch
from pipeline.training.batches import Examples
from pipeline.training.graphs import step_of
from pipeline.training.state import Training


def train(
    runs: Sequence[Training], train: Split, val: Split, before_batch: Callable[[], None] = lambda: None
) -> Iterator[tuple[Training, Epoch]]:
    """Train, and yield each epoch that is recorded. The last of a run may be the one in which it diverged or died.

    Args:
        runs: one; or several at the same position, if there is a stack for them: see `pipeline.training.together`.
        train: the examples to train on.
        val: those to validate on.
        before_batch: called before each batch; what `Training.state_dict` returns then is enough to go on from there.
    """
    first, runs = runs[0], list(runs)
    examples = Examples(train, first.data, first.run, first.device)
    step = step_of(runs, examples)
    for epoch in range(first.epoch, first.run.epochs + 1):
        for batch in zip(*[run.start_epoch(epoch, examples) for run in runs], strict=True):
            before_batch()
            filled = step.network.filled
            x, y = examples.take(filled(batch), filled([run.draw for run in runs]))
            part = runs[0].part(len(examples))
            step(x, y, part)
            for run in runs:
                run.end_batch(part)
        measured = _numbers([run.measure(val, examples) for run in runs])
        for run, numbers in zip(runs, measured, strict=True):
            val_loss, figures = run.end_epoch(numbers, val, len(examples))
            if not run.over:
                run.schedule.step_epoch(run.scheduler, val_loss)
            if figures is not None:
                yield run, figures
        if any(run.over for run in runs):
            runs = [run for run in runs if not run.over]
            if not runs:
                return
            step = step_of(runs, examples)


def _numbers(measured: Sequence[Tensor | None]) -> Sequence[Sequence[float] | None]:
    """Return what the runs have measured as numbers, for which a GPU is waited for once."""
    known = [each for each in measured if each is not None]
    numbers = iter(torch.stack(known).tolist() if known else ())
    return [None if each is None else next(numbers) for each in measured]
