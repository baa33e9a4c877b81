"""Gradient accumulation, which averages the gradients of several micro-batches before an optimizer step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload


@dataclass(frozen=True)
class MicroBatch:
    """The place of a batch in an optimizer step. Without accumulation, each batch is a whole step."""

    begins_step: bool = True
    """True for the first batch of a step, before which the gradients of the previous step are cleared."""
    ends_step: bool = True
    """True for the last batch of a step, after which the optimizer takes its step."""
    share: float = 1.0
    """The number of examples in the batch, divided by the number of examples in the step."""


WHOLE_STEP = MicroBatch()
"""A batch that is a whole step."""


def micro_batch(workload: "Workload", batch: int, examples: int) -> MicroBatch:
    """Return the place of a batch in its step. The last step of an epoch may have fewer batches.

    Shares count examples, not batches, so a step has the same result as one large batch of the same examples.

    Args:
        workload: the workload that sets `batch_size` and `accumulate`.
        batch: the number of batches before this batch in the epoch.
        examples: the number of examples in an epoch.
    """
    accumulate = workload.accumulate or 1
    if accumulate == 1:
        return WHOLE_STEP
    place = batch % accumulate
    before, until = (min(number * workload.batch_size, examples) for number in (batch, batch + 1))
    start, end = (min((batch - place + more) * workload.batch_size, examples) for more in (0, accumulate))
    return MicroBatch(begins_step=place == 0, ends_step=until == end, share=(until - before) / (end - start))
