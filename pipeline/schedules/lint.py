"""What may not be meant as it is in a schedule, told before hours are trained with it: warnings, never errors.

This imports no torch; curves come from the workers, or from who has them.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import dropwhile, groupby

from pipeline.params import Run
from pipeline.settings import Resolved
from pipeline.sweep.pool import Workers

ANNEALED_OVER = {
    "CosineAnnealingLR": "T_max",
    "LinearLR": "total_iters",
    "OneCycleLR": "total_steps",
    "PolynomialLR": "total_iters",
    "REX": "total_iters",
}
"""The setting that says when a schedule comes to its end, which is usually that of the run."""
WARMED_UP_OVER = {"ConstantLR": "total_iters", "InverseSqrt": "warmup", "LinearLR": "total_iters"}
"""The setting that says when a warm-up ends. (Other classes refuse one that is as long as the run.)"""
REPEATED_AFTER = {"CosineAnnealingWarmRestarts": "T_0", "CyclicLR": "step_size_up", "StepLR": "step_size"}
"""The setting that says when a schedule first does what it then does again and again."""
RISES = ("CosineAnnealingWarmRestarts", "CyclicLR")
"""What rises again by design."""
ROUNDING = 1e-6
"""Differences between rates that mean nothing, as a part of the highest."""
NOTHING = 1e-12
"""What is left of a rate of 0 by torch's arithmetic, as a part of the highest."""


def all_doubts(workers: Workers, runs: Sequence[Run], examples: int) -> list[str]:
    """`doubts` of the schedules of ``runs``, found in the workers.

    Args:
        workers: to compute rates with.
        runs: of a sweep. A schedule is the same for every seed and optimizer, and at another base LR as doubtful: of
            each scheduler the first group that there is doubt of is named.
        examples: how many there are to train on.
    """
    groups = {run.group: run for run in runs}
    found: dict[str, list[str]] = {}
    for step in workers.work(partial(_doubts, examples=examples), list(groups.values())):
        if step.item is not None and step.result is not None:
            found[step.item.group] = step.result
    told: dict[str, list[str]] = {}
    for group, run in groups.items():
        told[run.scheduler] = told.get(run.scheduler) or found.get(group, [])
    return [line for lines in told.values() for line in lines]


def _doubts(run: Run, examples: int) -> list[str]:
    from pipeline.schedules import build as schedules

    per_batch = schedules.steps_per_batch(run.schedule)
    # All batches of an epoch have one rate where the scheduler is stepped after it: one of them will do.
    batches = math.ceil((run.train_subset or examples) / run.batch_size) if per_batch else 1
    return doubts(run, schedules.curve(run.schedule, run.lr, run.epochs, batches))


def doubts(run: Run, rates: Sequence[float]) -> list[str]:
    """What a user may not have meant, a line each; ReduceLROnPlateau, whose curve nobody knows before, has none.

    Args:
        run: its group names it in the lines.
        rates: what `schedules.curve` answers; one an epoch is enough of a scheduler that is stepped once an epoch.
    """
    if run.schedule["class"] == "ReduceLROnPlateau" or not all(map(math.isfinite, rates)):
        return []
    curve = _Curve(run, rates)
    lines = [*curve.raised(), *curve.never(), *curve.warmed_up_only(), *curve.horizons()]
    # What such a line says of the curve is not told again.
    if (risen := curve.risen()) and not any(risen in line for line in lines):
        lines.append(f"{risen}; usual is the lowest LR at the end")
    if (zero := curve.zero()) and not any(zero in line for line in lines):
        lines.append(f"{zero}, and nothing is learnt; usual is an LR above 0 throughout")
    return [f"{run.group}: {line}" for line in lines]


class _Curve:
    """A schedule, and the rates that it leads to."""

    def __init__(self, run: Run, rates: Sequence[float]) -> None:
        schedule = run.schedule
        self.base = run.lr
        self.rates, self.epochs, self.per_epoch = rates, run.epochs, len(rates) // run.epochs
        self.steps = len(rates) if schedule["interval"] == "batch" else run.epochs
        self.milestones: list[int] = schedule.get("milestones", [])
        self.composed = "schedulers" in schedule
        self.sequential = schedule["class"] == "SequentialLR"
        self.parts: list[Resolved] = schedule.get("schedulers", [schedule])
        self.start = 0
        """The step from which on the parts are in charge."""
        if self.sequential:  # ups and downs from one to the next are by design: the one at the end counts
            begun = [milestone for milestone in self.milestones if milestone < self.steps]
            self.start, self.parts = max(begun, default=0), [self.parts[len(begun)]]
        self.highest = max(map(abs, rates))

    def raised(self) -> Iterator[str]:
        """A cosine that is to come down to more than where it begins."""
        for part in self.parts:
            if (lowest := part.get("eta_min", 0.0)) > self.base:
                above = f"eta_min is {lowest:.4g}, above the base LR of {self.base:.4g}"
                yield f"{above}: the LR rises; usual is one below it"

    def never(self) -> Iterator[str]:
        """What is to happen after the end of the run."""
        for milestone in self.milestones:
            if milestone > self.steps:  # one at the very end may be a percentage of a short run, rounded
                reached = f"is after {self._epochs(milestone)}, which the run of {self.epochs} never reaches"
                yield f"a milestone {reached}; usual is one before its end"
        for part, name, length in self._lengths(REPEATED_AFTER):
            if length >= self.steps > 1 and not self.composed:
                never = {"T_0": "there is no restart", "step_size": "the LR never changes"}
                outcome = never.get(name, "the LR never comes down")
                yield f"{self._compared(part, name, length)}: {outcome}; usual is a part of the run"

    def warmed_up_only(self) -> Iterator[str]:
        """A warm-up that is all there is."""
        for part, name, length in self._lengths(WARMED_UP_OVER):
            shortest = 2 if name == "warmup" else 1  # InverseSqrt has its peak in the last step of its warm-up
            if length >= max(self.steps, shortest) and _warms_up(part) and not self.sequential:
                outcome = f"all of the run is warm-up, and the LR ends at {self.rates[-1]:.4g}"
                yield f"{self._compared(part, name, length)}: {outcome}; usual is {name}: 10%"

    def horizons(self) -> Iterator[str]:
        """What is annealed over more than the run, or over less."""
        left = self.steps - self.start
        for part, name, length in self._lengths(ANNEALED_OVER):
            if _warms_up(part):
                continue
            outcome = ""
            if length > left:
                outcome = f"the run ends on the way, at an LR of {self.rates[-1]:.4g}"
            elif length < left and part["class"] == "CosineAnnealingLR":
                outcome = self.risen() or self.zero()
            elif length < left:
                outcome = self.zero()
                # In a composition, others go on; and a last epoch at the last rate is no mistake.
                if not outcome and not self.composed and length < left - 1:
                    outcome = f"the LR stays at {self.rates[-1]:.4g} from then on"
            if outcome:
                usual = f"{name}: {_number(100 * left / self.steps)}%"
                yield f"{self._compared(part, name, length)}: {outcome}; usual is {usual}"

    def risen(self) -> str:
        """Whether the rate comes down and ends above its lowest; until it is half of the highest, it is warmed up."""
        rates = self.rates[self.start * len(self.rates) // self.steps :]
        if any(part["class"] in RISES for part in self.parts):
            return ""
        half = max(rates) / 2
        rates = list(dropwhile(lambda rate: rate < half, rates))
        low = min(rates)
        lowest = next(place for place, rate in enumerate(rates) if self._is_zero(rate - low))  # the first of several
        rise, fall = rates[-1] - low, max(rates[: lowest + 1]) - low
        # What has not fallen much before is a warm-up too, such as a factor of 0.6.
        if rise <= ROUNDING * self.highest or fall < rise / 2:
            return ""
        low = 0.0 if self._is_zero(low) else low
        after = _epochs((len(self.rates) - len(rates) + lowest) / self.per_epoch)
        return f"the LR is lowest after {after}, {low:.4g}, and rises again, to {rates[-1]:.4g} at the end"

    def zero(self) -> str:
        """Whether the rate is 0 for whole epochs; one epoch in which it turns round and rises again is none."""
        rates = [self.rates[epoch * self.per_epoch : (epoch + 1) * self.per_epoch] for epoch in range(self.epochs)]
        whole = [all(map(self._is_zero, of_epoch)) for of_epoch in rates]
        stretches = [list(group) for is_zero, group in groupby(range(self.epochs), whole.__getitem__) if is_zero]
        found = [each for each in stretches if len(each) > 1 or each[0] in (0, self.epochs - 1)]
        if not found:
            return ""
        return f"the LR is 0 for {_epochs(sum(map(len, found)))}, from epoch {found[0][0] + 1} on"

    def _is_zero(self, rate: float) -> bool:
        return abs(rate) <= NOTHING * self.highest

    def _lengths(self, settings: Mapping[str, str]) -> Iterator[tuple[Resolved, str, int]]:
        """The parts that ``settings`` has a name of a setting for, with that name and its value."""
        for part in self.parts:
            if name := settings.get(part["class"]):
                yield part, name, part[name]

    def _compared(self, part: Resolved, name: str, length: int) -> str:
        """A horizon beside the run, or beside what a part has of it."""
        left = self.steps - self.start
        than = "shorter than" if length < left else "longer than" if length > left else "as long as"
        of_part = f" of {part['class']}" * self.composed
        run = f"the last {self._epochs(left)} of the run" if self.start else f"the run of {self.epochs}"
        return f"{name}{of_part} is {self._epochs(length)}, {than} {run}"

    def _epochs(self, steps: int) -> str:
        return _epochs(steps * self.epochs / self.steps)


def _warms_up(part: Resolved) -> bool:
    """Whether a part, as one of `WARMED_UP_OVER`, leads up and not down."""
    match part["class"]:
        case "LinearLR":
            return bool(part["start_factor"] < part["end_factor"])
        case "ConstantLR":
            return bool(part["factor"] < 1)
    return part["class"] in WARMED_UP_OVER


def _epochs(count: float) -> str:
    return f"{_number(count)} epoch{'s' * (count != 1)}"


def _number(value: float) -> str:
    return f"{round(value, 2):.15g}"
