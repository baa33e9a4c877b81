"""Warns before training about schedule settings that look like mistakes.

The module `pipeline.schedules.curve` computes the rates with torch. This module only checks the rates, without torch.
"""

from collections.abc import Iterator, Sequence
from itertools import dropwhile, groupby

from pipeline.schedules.base import Schedule

ROUNDING = 1e-6
"""A difference between two rates counts as a rounding error if it is below this share of the highest rate."""
ZERO = 1e-12
"""Rates below this share of the highest rate count as 0, because torch's arithmetic seldom gives exactly 0."""


def warnings(
    schedule: Schedule, lr: float, epochs: int, rates: Sequence[float], batches: int | None = None
) -> list[str]:
    """Return a one-line warning for each setting of a schedule that looks like a mistake.

    If a schedule depends on the validation loss, there are no warnings, because its curve is unknown before training.

    Args:
        schedule: the settings of the schedule.
        lr: the base rate.
        epochs: the number of epochs in the run.
        rates: the rates of all batches, as `curve` returns them. If the scheduler is stepped once per epoch, one rate
            per epoch is enough.
        batches: the number of batches in an epoch; None if ``rates`` has a rate for every batch.
    """
    if schedule.needs_val_loss:
        return []
    curve = _Curve(schedule, lr, epochs, rates, batches)
    lines = [*curve.raised(), *curve.out_of_reach(), *curve.only_warmup(), *curve.lengths()]
    # Leave out a warning about the curve if another warning already contains it.
    if (rises := curve.rises()) and not any(rises in line for line in lines):
        lines.append(f"{rises}; the lowest LR at the end is usual")
    if (zero := curve.zero()) and not any(zero in line for line in lines):
        lines.append(f"{zero}, and nothing is learnt; an LR above 0 throughout is usual")
    return lines


class _Curve:
    """A schedule and its rates over a run, with a method for each kind of mistake."""

    def __init__(self, schedule: Schedule, lr: float, epochs: int, rates: Sequence[float], batches: int | None) -> None:
        self.schedule, self.base, self.epochs, self.rates = schedule, lr, epochs, rates
        self.per_epoch = len(rates) // epochs
        self.batches = batches or self.per_epoch
        self.steps = epochs * schedule.steps_per_epoch(self.per_epoch)
        self.highest = max(map(abs, rates))
        self.is_composed = bool(schedule.parts())
        # Changes from one phase to the next are intended, so only the last phase is checked.
        self.start, self.parts = schedule.last_phase(epochs, self.batches)

    def raised(self) -> Iterator[str]:
        """Warn about a decay whose lowest rate is above the base rate."""
        for part in self.parts:
            if not part.own and (lowest := getattr(part, "eta_min", 0.0)) > self.base:
                above = f"eta_min is {lowest:.4g}, above the base LR of {self.base:.4g}"
                yield f"{above}: the LR rises; an eta_min below the base LR is usual"

    def out_of_reach(self) -> Iterator[str]:
        """Warn about milestones after the end of the run, and about schedules that do not repeat within the run."""
        for milestone in [] if self.schedule.own else getattr(self.schedule, "milestones", []):
            step = milestone.steps(self.epochs, self.batches, self.schedule.interval)
            if step > self.steps:  # a milestone at the very end may be a rounded percentage of a short run
                reached = f"comes after {self._in_epochs(step)}, which the run of {self.epochs} never reaches"
                yield f"a milestone {reached}; one before the end is usual"
        name = self.schedule.repeats_after
        if name is not None and (length := self._length(self.schedule, name)) >= self.steps > 1:
            comparison = self._compared(self.schedule, name, length)
            yield f"{comparison}: {self.schedule.without_repeat}; a fraction of the run is usual"

    def only_warmup(self) -> Iterator[str]:
        """Warn about a warm-up that lasts the whole run. (In SequentialLR, the next milestone ends the warm-up.)"""
        for part in self.parts:
            if part.warms_up and part.warms_up_over is not None and not self.schedule.sequential:
                name, length = part.warms_up_over, self._length(part, part.warms_up_over)
                if length >= max(self.steps, part.shortest_warmup):
                    outcome = f"the whole run is warm-up, and the LR ends at {self.rates[-1]:.4g}"
                    yield f"{self._compared(part, name, length)}: {outcome}; {name}: 10% is usual"

    def lengths(self) -> Iterator[str]:
        """Warn about a decay that is longer or shorter than the run."""
        left = self.steps - self.start
        for part in self.parts:
            if part.ends_after is None or part.warms_up:
                continue
            name, length = part.ends_after, self._length(part, part.ends_after)
            if outcome := self._outcome(part, length, left):
                usual = f"{name}: {_number(100 * left / self.steps)}% is usual"
                yield f"{self._compared(part, name, length)}: {outcome}; {usual}"

    def _outcome(self, part: Schedule, length: int, left: int) -> str:
        """Describe the harm of a decay of ``length`` steps if ``left`` steps remain, or return "" if there is none."""
        if length > left:
            return f"the run ends before the decay does, at an LR of {self.rates[-1]:.4g}"
        if length == left:
            return ""
        if part.turns_at_end:
            return self.rises() or self.zero()
        if zero := self.zero():
            return zero
        # In a composed schedule, another part may still change the rate. A single step at the lowest rate is harmless.
        if self.is_composed or length == left - 1:
            return ""
        return f"the LR stays at {self.rates[-1]:.4g} from then on"

    def rises(self) -> str:
        """Return a sentence about a rate that falls and then rises again, or "" if the rate does not.

        Rates before the schedule first reaches half of its highest rate are ignored, because they belong to a warm-up.
        """
        rates = self.rates[self.start * len(self.rates) // self.steps :]
        if any(part.rises_by_design for part in self.parts):
            return ""
        half = max(rates) / 2
        rates = list(dropwhile(lambda rate: rate < half, rates))
        low = min(rates)
        lowest = next(index for index, rate in enumerate(rates) if self._is_zero(rate - low))  # the first of several
        rise, fall = rates[-1] - low, max(rates[: lowest + 1]) - low
        # If the fall is less than half of the rise, the rise is taken for a warm-up, such as one from a factor of 0.6.
        if rise <= ROUNDING * self.highest or fall < rise / 2:
            return ""
        low = 0.0 if self._is_zero(low) else low
        after = _epochs((len(self.rates) - len(rates) + lowest) / self.per_epoch)
        return f"the LR is lowest after {after} ({low:.4g}) and rises again to {rates[-1]:.4g} at the end"

    def zero(self) -> str:
        """Return a sentence about the epochs in which every rate is 0, or "" if there are none.

        A single epoch at 0 is harmless if it is neither the first nor the last epoch of the run.
        """
        rates = [self.rates[epoch * self.per_epoch : (epoch + 1) * self.per_epoch] for epoch in range(self.epochs)]
        whole = [all(map(self._is_zero, of_epoch)) for of_epoch in rates]
        stretches = [list(group) for is_zero, group in groupby(range(self.epochs), whole.__getitem__) if is_zero]
        harmful = [epochs for epochs in stretches if len(epochs) > 1 or epochs[0] in (0, self.epochs - 1)]
        if not harmful:
            return ""
        return f"the LR is 0 for {_epochs(sum(map(len, harmful)))}, from epoch {harmful[0][0] + 1} on"

    def _is_zero(self, rate: float) -> bool:
        return abs(rate) <= ZERO * self.highest

    def _length(self, part: Schedule, name: str) -> int:
        """Return the length in the setting ``name`` of ``part``, converted to scheduler steps."""
        length: int = getattr(part, name).steps(self.epochs, self.batches, self.schedule.interval)
        return length

    def _compared(self, part: Schedule, name: str, length: int) -> str:
        """Return text that compares ``length`` with the length of the run or of its last phase."""
        left = self.steps - self.start
        relation = "as long as"
        if length != left:
            relation = "shorter than" if length < left else "longer than"
        owner = f" of {part.class_}" if self.is_composed else ""
        run = f"the last {self._in_epochs(left)} of the run" if self.start else f"the run of {self.epochs}"
        return f"{name}{owner} is {self._in_epochs(length)}, {relation} {run}"

    def _in_epochs(self, steps: int) -> str:
        return _epochs(steps * self.epochs / self.steps)


def _epochs(count: float) -> str:
    return f"{_number(count)} {'epoch' if count == 1 else 'epochs'}"


def _number(value: float) -> str:
    return f"{round(value, 2):.15g}"
