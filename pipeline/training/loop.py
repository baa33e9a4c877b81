"""The training loop, of one run or of several that are trained together."""

from collections.abc import Callable, Iterator, Sequence

from pipeline.data.store import Split
from pipeline.training.batches import Examples
from pipeline.training.epoch import Epoch
from pipeline.training.stacks import together
from pipeline.training.state import Training


def train(
    runs: Sequence[Training], train: Split, val: Split, before_batch: Callable[[], None] = lambda: None
) -> Iterator[tuple[Training, Epoch]]:
    """Train, and yield each epoch that is recorded. The last of a run may be the one in which it diverged or died.

    Args:
        runs: one; or several at the same position whose networks are `stackable`, which are trained as a stack.
        train: the examples to train on.
        val: those to validate on.
        before_batch: called before each batch; what `Training.state_dict` returns then is enough to go on from there.
    """
    first, runs = runs[0], list(runs)
    examples = Examples(train, first.data, first.run, first.device)
    network = together([run.network for run in runs], first.run.batch_size, first.loss, first.autocast)
    for epoch in range(first.epoch, first.run.epochs + 1):
        for batch in zip(*[run.start_epoch(epoch, examples) for run in runs], strict=True):
            before_batch()
            x, y = examples.take(batch, [run.draw for run in runs])
            part = runs[0].part(len(examples))
            losses = network.backward(x, y, part)
            for run, loss in zip(runs, losses.unbind(), strict=True):
                if part.ends:
                    run.clip_gradients()
                    run.optimizer.step()
                    run.published.after_step()
                run.count(loss, y.shape[1])
                if part.ends and run.steps_per_batch:
                    run.scheduler.step()
        for run in runs:
            val_loss, figures = run.end_epoch(val, examples)
            if not run.over:
                run.schedule.step_epoch(run.scheduler, val_loss)
            if figures is not None:
                yield run, figures
        if any(run.over for run in runs):
            runs = [run for run in runs if not run.over]
            if not runs:
                return
            network = together([run.network for run in runs], first.run.batch_size, first.loss, first.autocast)
