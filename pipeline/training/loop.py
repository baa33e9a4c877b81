"""The training loop, of one run or of several runs that are trained together."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from pipeline.datasets.store import Split
from pipeline.runs.epoch import Epoch
from pipeline.training.accumulation import MicroBatch
from pipeline.training.graphs import Backward, recorded
from pipeline.training.stacking import stack_of
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet

OfRun = TypeVar("OfRun")


def train(
    runs: Sequence[Training], train: Split, val: Split, before_batch: Callable[[], None] = lambda: None
) -> Iterator[tuple[Training, Epoch]]:
    """Train, and yield each recorded epoch. The last epoch of a run may be the one in which it diverged or died.

    Args:
        runs: one run; or several at the same position, if `stacking` has a stack for them.
        train: training split.
        val: validation split.
        before_batch: called before each batch; `Training.state_dict` then holds everything to resume from there.
    """
    examples = TrainingSet(train, runs[0].data, runs[0].workload, runs[0].device)
    while runs:
        yield from _train_until_one_ends(runs, examples, val, before_batch)
        runs = [run for run in runs if not run.over]


def _train_until_one_ends(
    runs: Sequence[Training], examples: TrainingSet, val: Split, before_batch: Callable[[], None]
) -> Iterator[tuple[Training, Epoch]]:
    backward, idle = backward_of(runs, examples)
    totals = _share_totals(runs)
    while not any(run.over for run in runs):
        for batches in zip(*[run.start_epoch(examples) for run in runs], strict=True):
            before_batch()
            x, y = examples.take(fill(batches, idle), fill([run.draw for run in runs], idle))
            part = runs[0].micro_batch(len(examples))
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
    """Compute the gradients of one run; see `Backward`. A stack of several runs replaces this function."""
    if part.begins_step:
        run.network.zero_grad(set_to_none=run.device.type == "cpu")  # a CUDA graph writes to the same memory again
    with run.autocast():
        loss = run.loss.of(run.network(x[0]), y[0])
    run.loss.scaled(loss, part.share).backward()
    return loss.detach()[None]


def step(run: Training) -> None:
    """Step the optimizer of a run with the gradients of a step, and its scheduler if that is stepped per batch."""
    run.clip_gradients()
    run.optimizer.step()
    run.evaluated.after_step()
    run.note_rate()
    if run.schedule.interval == "batch":
        run.scheduler.step()


def backward_of(runs: Sequence[Training], examples: TrainingSet) -> tuple[Backward, int]:
    """Return what computes the gradients of runs, and the number of idle copies that it needs."""
    stack = stack_of(runs, examples)
    if stack is None:
        return recorded(partial(backward_of_one, runs[0]), runs[0].device, lambda: False), 0
    return recorded(stack.backward, runs[0].device, lambda: stack.draws), stack.idle


def _share_totals(runs: Sequence[Training]) -> Tensor:
    """Let the totals of runs share one tensor, (runs,), so that one addition serves them all."""
    totals = torch.stack([run.total for run in runs])
    for run, total in zip(runs, totals.unbind(), strict=True):
        run.total = total
    return totals


def fill(items: Sequence[OfRun], idle: int) -> list[OfRun]:
    """Return one item for each run, and the first again for each idle copy."""
    return [*items, *[items[0]] * idle]


def _to_numbers(sums: Sequence[Tensor | None]) -> Sequence[Sequence[float] | None]:
    """Return sums of runs as numbers; a GPU is waited for once."""
    measured = [tensor for tensor in sums if tensor is not None]
    numbers = iter(torch.stack(measured).tolist() if measured else ())
    return [None if tensor is None else next(numbers) for tensor in sums]
