"""The answer to the question of a sweep: which scheduler to use. No I/O."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline.comparison.anytime import FIRST
from pipeline.comparison.groups import Group, Sweep
from pipeline.comparison.questions import Question, Scale
from pipeline.comparison.standing import Rules, Standing
from pipeline.datasets import Language, Target
from pipeline.runs.params import Metric
from pipeline.runs.records import Stable

Kind = Literal["use", "same", "baseline", "best", "open", "nothing"]
"""Use the leader, which beats the baseline; leader and baseline are at most the margin apart; the baseline leads; the
leader is best, and there is no baseline; not known yet; nothing to compare."""


@dataclass(frozen=True)
class Answer:
    """Which scheduler to use, and what that rests on."""

    arms: list[Group]
    """What was compared: a group for each scheduler and optimizer, at its own base LR."""
    scale: Scale
    rounds: list[Standing]
    """What was known after each round of a race; of fixed seeds, there is one."""
    budget: int | None = None
    """Runs that the race might take; None: the seeds were fixed."""

    @property
    def standing(self) -> Standing:
        """What is known at the end."""
        return self.rounds[-1]

    @property
    def leader(self) -> Group:
        """The group with the best mean of those that may be the best."""
        return self.arms[self.standing.leader]

    @property
    def baseline(self) -> Group | None:
        """The baseline that was trained with the leader's optimizer."""
        base = self.standing.rules.baselines[self.standing.leader]
        return None if base is None else self.arms[base]

    @property
    def is_provisional(self) -> bool:
        """True with so few seeds that heavy tails may mislead the test, and more seeds may change the answer."""
        return int(self.standing.held.min()) < FIRST

    @property
    def kind(self) -> Kind:
        """What is known."""
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
        """Return True if it is shown to be better than its baseline, and not by less than the margin."""
        compared = self.standing.baseline
        return bool(compared.better[arm] == 1 and compared.high[arm] > self.scale.margin)

    @property
    def good_enough(self) -> list[Group]:
        """Those that nothing is more than the margin better than, and that beat the baseline if the leader does.

        The simplest, with the fewest settings, comes first.
        """
        those = [arm for arm in range(len(self.arms)) if self.standing.is_good_enough(arm)]
        if self.kind == "use":
            those = [arm for arm in those if self.beats_baseline(arm)]
        return sorted([self.arms[arm] for arm in those], key=_settings)

    @property
    def not_needed(self) -> list[Group]:
        """Those that are not the best."""
        return [group for group, may_be in zip(self.arms, self.standing.in_set, strict=True) if not may_be]

    @property
    def runs(self) -> int:
        """Runs that it rests on."""
        return int(self.standing.held.sum())


@dataclass(frozen=True)
class Findings:
    """All that a sweep has found."""

    sweep: Sweep
    questions: list[Question]
    """Answered, that at each scheduler's own base LR first."""
    answer: Answer
    baseline: str
    """The scheduler that the others are compared with."""
    stable: Mapping[str, Stable] = field(default_factory=dict)
    """The stable base rates of each optimizer that was tested."""
    units: Target | Language | None = None
    """What turns losses into figures that are easier to read. Nothing is compared by it."""


def _settings(group: Group) -> int:
    return sum(1 for _ in _leaves(group.run.schedule.model_dump(exclude={"class_", "interval"})))


def _leaves(of: Any) -> Iterator[Any]:
    """Yield the values in nested settings that are set."""
    if isinstance(of, dict | list):
        for each in of.values() if isinstance(of, dict) else of:
            yield from _leaves(each)
    elif of is not None:
        yield of


def scale(metric: Metric, margin: float, examples: int) -> Scale:
    """Return how groups are compared.

    Args:
        metric: that is compared.
        margin: the smallest difference worth having: percentage points of an accuracy, or per cent of a loss.
        examples: of the test split.
    """
    if metric == "test_accuracy":
        return Scale(metric, margin / 100, 1 / examples)
    return Scale(metric, -math.log1p(-margin / 100))


def rules(methods: Sequence[tuple[str, str]], baseline: str, scale: Scale) -> Rules:
    """Return what is asked of arms, each a scheduler and an optimizer; its baseline has the same optimizer."""
    place = {method: arm for arm, method in enumerate(methods)}
    baselines = tuple(place.get((baseline, optimizer)) for _, optimizer in methods)
    return Rules(baselines, scale.margin, scale.least)
