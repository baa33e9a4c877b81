"""Defines a sweep's answer to the question of which scheduler to use. No I/O."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.comparison.anytime import FIRST
from pipeline.comparison.groups import Group, SweepGroups
from pipeline.comparison.questions import Question, Scale
from pipeline.comparison.standing import Rules, Standing
from pipeline.datasets import Language, Target
from pipeline.runs.metric import Metric
from pipeline.runs.records import Stable

Kind = Literal["use", "same", "baseline", "best", "open", "nothing"]
"""The kind of an answer.

- `use`: the leader beats the baseline, so use the leader.
- `same`: the leader may be better than the baseline, but by no more than the margin.
- `baseline`: the leader is the baseline itself.
- `best`: no other arm can beat the leader by more than the margin, and the leader's optimizer has no baseline.
- `open`: the answer is not known yet.
- `nothing`: there is only one arm, so there is nothing to compare.
"""


@dataclass(frozen=True)
class Answer:
    """The answer to the question of which scheduler to use, and the evidence for it."""

    arms: list[Group]
    """The compared groups: one for each pair of scheduler and optimizer, at the base LR chosen for that pair."""
    scale: Scale
    rounds: list[Standing]
    """The standing after each round of the race. A sweep with fixed seeds has only one round."""
    budget: int | None = None
    """The maximum number of runs in the race, or None if the seeds are fixed."""

    @property
    def standing(self) -> Standing:
        """The standing after the last round."""
        return self.rounds[-1]

    @property
    def leader(self) -> Group:
        """The group with the best mean among the groups that have the most seeds and may be the best."""
        return self.arms[self.standing.leader]

    @property
    def baseline(self) -> Group | None:
        """The group of the baseline scheduler with the leader's optimizer, or None if the sweep has no such group."""
        base = self.standing.rules.baselines[self.standing.leader]
        return None if base is None else self.arms[base]

    @property
    def is_provisional(self) -> bool:
        """True if the answer may still change because an arm has fewer than `FIRST` seeds.

        With so few seeds, heavy tails may mislead the test.
        """
        return int(self.standing.seeds.min()) < FIRST

    @property
    def kind(self) -> Kind:
        """The kind of answer."""
        if len(self.arms) == 1:
            return "nothing"
        if not self.standing.is_answered:
            return "open"
        if self.baseline is None:
            return "best"
        if self.baseline is self.leader:
            return "baseline"
        return "use" if self.beats_baseline(self.standing.leader) else "same"

    def beats_baseline(self, arm: int) -> bool:
        """Return True if the arm is better than its baseline and the difference may exceed the margin."""
        against = self.standing.baseline
        return bool(against.better[arm] == 1 and against.high[arm] > self.scale.margin)

    @property
    def good_enough(self) -> list[Group]:
        """The arms that no other arm can beat by more than the margin; arms with fewer settings come first.

        If the leader beats the baseline, only arms that also beat the baseline are good enough.
        """
        good = [arm for arm in range(len(self.arms)) if self.standing.is_good_enough(arm)]
        if self.kind == "use":
            good = [arm for arm in good if self.beats_baseline(arm)]
        return sorted([self.arms[arm] for arm in good], key=_settings)

    @property
    def not_needed(self) -> list[Group]:
        """The arms that the comparison has ruled out as the best."""
        return [group for group, may_be in zip(self.arms, self.standing.in_set, strict=True) if not may_be]

    @property
    def may_be_best(self) -> list[Group]:
        """The arms that may be the best."""
        return [group for group, may_be in zip(self.arms, self.standing.in_set, strict=True) if may_be]

    @property
    def runs(self) -> int:
        """The number of runs in the comparison."""
        return int(self.standing.seeds.sum())


@dataclass(frozen=True)
class Findings:
    """All results of a sweep."""

    sweep: SweepGroups
    questions: list[Question]
    """The questions with their results, starting with the comparison of schedulers at their own base LRs."""
    answer: Answer
    baseline: str
    """The name of the scheduler that all other schedulers are compared with."""
    stable: Mapping[str, Stable] = field(default_factory=dict)
    """Maps the names of optimizers to their stable base rates, as measured by range tests."""
    units: Target | Language | None = None
    """Converts losses to figures that are easier to read. Comparisons use the losses themselves."""


def _settings(group: Group) -> int:
    """Return the number of settings of a group's schedule, not counting settings that are None."""
    return sum(1 for _ in _leaves(group.run.schedule.model_dump(exclude={"class_", "interval"})))


def _leaves(value: Any) -> Iterator[Any]:
    """Yield every value in nested settings, except None."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    elif value is not None:
        yield value


def scale(metric: Metric, margin: float, examples: int) -> Scale:
    """Return the scale on which groups are compared.

    Args:
        metric: the figure to compare.
        margin: the smallest difference that matters, in percentage points for a share and in per cent otherwise.
        examples: the number of test examples.
    """
    if metric.is_share:
        return Scale(metric, margin / 100, 1 / examples)
    return Scale(metric, -math.log1p(-margin / 100))


def rules(methods: Sequence[tuple[str, str]], baseline: str, scale: Scale) -> Rules:
    """Return the rules of a comparison.

    Args:
        methods: the scheduler and the optimizer of each arm.
        baseline: the name of the baseline scheduler; an arm's baseline is this scheduler with the arm's optimizer.
        scale: the scale of the comparison.
    """
    place = {method: arm for arm, method in enumerate(methods)}
    baselines = tuple(place.get((baseline, optimizer)) for _, optimizer in methods)
    return Rules(baselines, scale.margin, scale.least)
