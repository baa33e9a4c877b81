"""The training loop, for one run or for several runs that train together."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from pipeline.datasets.store import Split
from pipeline.runs.epoch import Epoch
from pipeline.training.accumulation import MicroBatch, micro_batch
from pipeline.training.graphs import Backward, recorded
from pipeline.training.stacking import stack_of
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet


def train(
    runs: Sequence[Training], train: Split, val: Split, before_batch: Callable[[], None] = lambda: None
) -> Iterator[tuple[Training, Epoch]]:
    """Train the runs to the end, and yield each recorded epoch.

    If a run diverges or dies, its training ends early, and the epoch in which this is detected is recorded.

    Args:
        runs: one run, or several runs at the same position that `stacking` trains as a stack.
        before_batch: called before each batch; a run can be resumed from a `Training.state_dict` obtained at that time.
    """
    examples = TrainingSet(train, runs[0].data, runs[0].workload, runs[0].device)
    while runs:
        yield from _train_until_one_ends(runs, examples, val, before_batch)
        runs = [run for run in runs if not run.over]


def _train_until_one_ends(
    runs: Sequence[Training], examples: TrainingSet, val: Split, before_batch: Callable[[], None]
) -> Iterator[tuple[Training, Epoch]]:
    backward = backward_of(runs, examples)
    totals = _share_totals(runs)
    while not any(run.over for run in runs):
        for batches in zip(*[run.start_epoch(examples) for run in runs], strict=True):
            before_batch()
            x, y = examples.take(batches, [run.draw for run in runs])
            part = micro_batch(examples.workload, runs[0].batch, len(examples))
            losses = backward(x, y, part)
            totals += losses * (y.shape[1] if runs[0].loss.mean else 1)
            for run in runs:
                if part.ends_step:
                    step(run)
                run.batch += 1
        sums = _to_numbers([run.measure(val, examples) for run in runs])
        for run, of_run in zip(runs, sums, strict=True):
            val_loss, figures = run.end_epoch(of_run, val, len(examples))
            if not run.over:
                run.schedule.step_epoch(run.scheduler, val_loss)
            if figures is not None:
                yield run, figures


def backward_of_one(run: Training, x: Tensor, y: Tensor, part: MicroBatch) -> Tensor:
    """Compute the gradients of a run that is trained alone; see `Backward`. A stack has its own `backward`."""
    if part.begins_step:
        run.network.zero_grad(set_to_none=run.device.type == "cpu")  # a CUDA graph reuses the gradients' memory
    with run.autocast():
        loss = run.loss.of(run.network(x[0]), y[0])
    run.loss.scaled(loss, part.share).backward()
    return loss.detach()[None]


def step(run: Training) -> None:
    """Take one optimizer step of a run, and one scheduler step if the schedule has `interval: batch`."""
    run.clip_gradients()
    run.optimizer.step()
    run.evaluated.after_step()
    run.note_rate()
    if run.schedule.interval == "batch":
        run.scheduler.step()


def backward_of(runs: Sequence[Training], examples: TrainingSet) -> Backward:
    """Return the function that computes the gradients of the runs."""
    stack = stack_of(runs, examples)
    if stack is None:
        return recorded(partial(backward_of_one, runs[0]), runs[0].device, lambda: False)
    return recorded(stack.backward, runs[0].device, lambda: stack.draws)


def _share_totals(runs: Sequence[Training]) -> Tensor:
    """Return the total losses of all runs as one tensor, (runs,); each run's total becomes a view of this tensor."""
    totals = torch.stack([run.total for run in runs])
    for run, total in zip(runs, totals.unbind(), strict=True):
        run.total = total
    return totals


def _to_numbers(sums: Sequence[Tensor | None]) -> Sequence[Sequence[float] | None]:
    """Convert the sums of all runs to numbers; the CPU waits for the GPU only once, not once per run."""
    measured = [tensor for tensor in sums if tensor is not None]
    numbers = iter(torch.stack(measured).tolist() if measured else ())
    return [None if tensor is None else next(numbers) for tensor in sums]
