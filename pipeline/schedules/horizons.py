"""Defines lengths of training in a schedule's settings: whole epochs, a percentage of the run, or optimizer steps."""

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, PlainValidator

Interval = Literal["epoch", "batch"]
"""When a scheduler is stepped: after every epoch, or after every batch."""
STEPS = re.compile(r"(\d{1,10}) steps?")
LONGEST = 10**9
"""The largest allowed number of epochs or steps. A larger number is surely a typo."""


@dataclass(frozen=True)
class Horizon:
    """A length of training: whole epochs, a percentage of the run, or optimizer steps.

    A percentage suits runs of any length. It is rounded to the nearest whole number of scheduler steps
    (halves are rounded up), but never to fewer than ``least`` steps. Numbers of epochs or steps are not rounded.
    """

    amount: float
    """A number of epochs, a percentage of the run, or a number of optimizer steps."""
    unit: Literal["epochs", "percent", "steps"] = "epochs"
    """The unit of the amount."""
    least: int = 0
    """The smallest number of scheduler steps to which a percentage is rounded."""

    def steps(self, epochs: int, batches: int, interval: Interval) -> int:
        """Return the length in scheduler steps.

        Args:
            epochs: the number of epochs in the run.
            batches: the number of batches in an epoch; each batch is an optimizer step.
            interval: when the scheduler is stepped.

        Raises:
            ValueError: the scheduler is stepped once per epoch, but the length is not a whole number of epochs.
        """
        per_epoch = batches if interval == "batch" else 1
        if self.unit == "percent":
            return max(self.least, math.floor(self.amount / 100 * epochs * per_epoch + 0.5))
        if self.unit == "epochs":
            return int(self.amount) * per_epoch
        if interval == "batch":
            return int(self.amount)
        whole, rest = divmod(int(self.amount), batches)
        if rest:
            raise ValueError(f"{self} is not a whole number of epochs of {batches} batches")
        return whole

    def written(self) -> int | str:
        """Return the length as it is written in params.yaml, such as 40, "35%" or "100 steps"."""
        if self.unit == "epochs":
            return int(self.amount)
        if self.unit == "steps":
            return f"{self.amount} {'step' if self.amount == 1 else 'steps'}"
        short = f"{self.amount:g}"
        return f"{short if float(short) == self.amount else repr(self.amount)}%"

    def __str__(self) -> str:
        return str(self.written())


def horizon(least: int, most_percent: int) -> PlainValidator:
    """Return a validator for a `Horizon` of at least ``least`` epochs and at most ``most_percent``% of the run."""
    allowed = (
        f"a whole number of epochs from {least}, a percentage up to {most_percent}% such as '30%', "
        "or optimizer steps such as '100 steps'"
    )

    def parse(given: Any) -> Horizon:
        if isinstance(given, Horizon):
            return given
        try:
            if isinstance(given, str) and given.endswith("%"):
                parsed = Horizon(float(given[:-1]), "percent", least)
                fits = (parsed.amount > 0 or least == parsed.amount == 0) and parsed.amount <= most_percent
            else:
                steps = STEPS.fullmatch(given) if isinstance(given, str) else None
                parsed = Horizon(int(steps[1]), "steps", least) if steps else Horizon(given, "epochs", least)
                fits = type(parsed.amount) is int and least <= parsed.amount <= LONGEST
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"{given!r} is not {allowed}")
        return parsed

    return PlainValidator(parse)


_as_written = PlainSerializer(Horizon.written)
Within = Annotated[Horizon, horizon(1, 100), _as_written]
"""A length that should not exceed the run, such as the time until a milestone."""
Beyond = Annotated[Horizon, horizon(1, 1000), _as_written]
"""A length that may exceed the run, for example in a schedule that is designed for a longer run."""
FromZero = Annotated[Horizon, horizon(0, 100), _as_written]
"""A length that may be zero."""


def check_order(written: list[Horizon], resolved: list[int]) -> None:
    """Raise a ValueError if milestones are out of order.

    There is no error if two increasing percentages are rounded to the same step.

    Args:
        written: the milestones as they are written in params.yaml.
        resolved: the same milestones in steps.
    """
    for (first, step), (second, next_step) in pairwise(zip(written, resolved, strict=True)):
        rounded = first.unit == second.unit == "percent" and step == next_step and first.amount < second.amount
        if step >= next_step and not rounded:
            raise ValueError(f"milestones are out of order: {first} is not before {second}")
