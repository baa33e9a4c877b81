"""Gradient accumulation, which combines the gradients of several batches in one optimizer step."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload


@dataclass(frozen=True)
class MicroBatch:
    """The place of a batch in an optimizer step. Without accumulation, each batch is a whole step."""

    begins_step: bool = True
    """True for the first batch of a step; the gradients of the previous step are cleared before this batch."""
    ends_step: bool = True
    """True for the last batch of a step; the optimizer takes its step after this batch."""
    share: float = 1.0
    """The number of examples in the batch, divided by the number of examples in the step."""


WHOLE_STEP = MicroBatch()
"""The place of a batch that forms a whole step by itself."""


def micro_batch(workload: "Workload", batch: int, examples: int) -> MicroBatch:
    """Return the place of a batch in its step. The last step of an epoch may have fewer batches than the others.

    A share is a fraction of the step's examples, not of its batches, so a step is equivalent to one large batch.

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
