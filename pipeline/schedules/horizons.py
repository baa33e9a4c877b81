"""Lengths of training in a schedule's settings: whole epochs, or a percentage of the run."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any

from pydantic import PlainSerializer, PlainValidator


@dataclass(frozen=True)
class Horizon:
    """A length of training: a whole number of epochs, or a percentage of the run.

    A percentage serves every budget. It is rounded half up to whole steps of the scheduler, and up to ``least``.
    A number of epochs is taken as it is.
    """

    amount: float
    """Epochs, or percent of the run."""
    percent: bool
    """True if the amount is a percentage."""
    least: int
    """The fewest steps that a percentage may round to."""

    def steps(self, epochs: int, steps_per_epoch: int) -> int:
        """Return the length in steps of a scheduler stepped ``steps_per_epoch`` times in each of ``epochs``."""
        if self.percent:
            return max(self.least, math.floor(self.amount / 100 * epochs * steps_per_epoch + 0.5))
        return int(self.amount) * steps_per_epoch

    def written(self) -> int | str:
        """Return the length as params.yaml has it: 40, or "35%"."""
        if not self.percent:
            return int(self.amount)
        short = f"{self.amount:g}"
        return f"{short if float(short) == self.amount else repr(self.amount)}%"

    def __str__(self) -> str:
        return str(self.written())


def horizon(least: int, most_percent: int) -> PlainValidator:
    """Return a validator for a `Horizon` of at least ``least`` epochs and at most ``most_percent`` of the run."""
    allowed = f"a whole number of epochs from {least}, or a percentage up to {most_percent}% such as '30%'"

    def parse(given: Any) -> Horizon:
        if isinstance(given, Horizon):
            return given
        try:
            if isinstance(given, str) and given.endswith("%"):
                parsed = Horizon(float(given[:-1]), True, least)
                fits = (parsed.amount > 0 or least == parsed.amount == 0) and parsed.amount <= most_percent
            else:
                parsed = Horizon(given, False, least)
                fits = type(given) is int and least <= given <= 10**9
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"{given!r} is not {allowed}")
        return parsed

    return PlainValidator(parse)


_as_written = PlainSerializer(Horizon.written)
Within = Annotated[Horizon, horizon(1, 100), _as_written]
"""A length that only makes sense inside the run, such as a milestone."""
Beyond = Annotated[Horizon, horizon(1, 1000), _as_written]
"""A length that may exceed the run: a schedule made for a longer run, stopped early."""
FromZero = Annotated[Horizon, horizon(0, 100), _as_written]
"""A length that may be zero."""


def check_order(written: list[Horizon], resolved: list[int]) -> None:
    """Raise ValueError if milestones do not rise; percentages of a short run may round to the same step.

    Args:
        written: the milestones as params.yaml has them.
        resolved: the same in steps.
    """
    for (first, step), (second, next_step) in pairwise(zip(written, resolved, strict=True)):
        rounded = step == next_step and first.percent and second.percent and first.amount < second.amount
        if step >= next_step and not rounded:
            raise ValueError(f"milestones are out of order: {first} is not before {second}")
