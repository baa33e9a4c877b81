"""Accumulation: the gradients of several batches are averaged before a step of the optimizer."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.runs.run import Run


@dataclass(frozen=True)
class Part:
    """A batch as a part of a step."""

    begins: bool = True
    """True for the first batch of a step: earlier gradients are forgotten."""
    ends: bool = True
    """True for the last: the optimizer steps after it."""
    share: float = 1.0
    """Its examples, as a share of the step's."""


WHOLE = Part()
"""A batch that is a step."""


def part_of_step(run: "Run", batch: int, examples: int) -> Part:
    """Return the place of a batch in its step; the last step of an epoch may have fewer batches.

    A share is one of examples, not of batches: a step computes what it would with a single batch of them all.

    Args:
        run: its settings.
        batch: how many of the epoch's are done before it.
        examples: of the epoch.
    """
    accumulate = run.accumulate or 1
    if accumulate == 1:
        return WHOLE
    place = batch % accumulate
    before, until = (min(number * run.batch_size, examples) for number in (batch, batch + 1))
    start, end = (min((batch - place + more) * run.batch_size, examples) for more in (0, accumulate))
    return Part(begins=place == 0, ends=until == end, share=(until - before) / (end - start))
