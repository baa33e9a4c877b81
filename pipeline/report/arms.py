"""Collect the arms of a sweep's answer, with their results. No I/O."""

import math
from dataclasses import dataclass
from typing import Literal

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import Group, comparable_figures
from pipeline.comparison.questions import Comparison, Question
from pipeline.comparison.standing import ERROR
from pipeline.report.phrases import UNKNOWN, amount
from pipeline.runs.metric import Metric

Place = Literal["good enough", "may be best", "not needed"]


@dataclass(frozen=True)
class Arm:
    """A scheduler paired with an optimizer, at the pair's own base LR, and the results of its runs.

    A difference is positive if this arm is better than the arm that it is compared with.
    """

    name: str
    """The name of the scheduler, followed by the name of the optimizer if the sweep has several optimizers."""
    group: Group
    metric: Metric
    place: Place
    """The advice on whether to use the arm.

    `not needed` means that another arm is better. `good enough` means that no other arm is better by more than the
    margin and, if the leader beats the baseline, that this arm beats the baseline too. In all other cases, the arm
    `may be best`.
    """
    is_leader: bool
    is_baseline: bool
    bound: float
    """Upper bound on how far the arm can be behind the best arm.

    The bound is infinite if the arm is not needed or has too few seeds.
    """
    gain: float
    """Mean difference from the leader, over the seeds that the arm and the leader have in common."""
    low: float
    """Lower end of the interval of ``gain`` in the test that decides the answer."""
    high: float
    """Upper bound on how far the arm can be ahead of the leader."""
    comparison: Comparison | None
    """The comparison with the baseline, or None if the arm is a baseline or the sweep has no baseline."""

    @property
    def verdict(self) -> str:
        """The verdict of ``comparison``, or an empty string if ``comparison`` is None."""
        return self.comparison.verdict if self.comparison else ""

    @property
    def behind(self) -> str:
        """How far the arm can be behind the best arm, as text; empty if the arm is not needed."""
        if self.place == "not needed":
            return ""
        return UNKNOWN if math.isinf(self.bound) else amount(self.bound, self.metric).removesuffix(" points")


def arms(findings: Findings) -> list[Arm]:
    """Return the leader, then the other arms in descending order of `gain`; arms that are not needed come last."""
    answer, standing = findings.answer, findings.answer.standing
    figures = comparable_figures(answer.arms, answer.scale.metric)
    evidence, leader = Evidence(figures, answer.scale.least), standing.leader
    gain = evidence.mean(standing.seeds)[:, leader]
    level = ERROR / max(len(answer.arms) - 1, 1)
    low = -evidence.upper(standing.seeds, level)[leader]
    comparisons = {
        id(comparison.group): comparison for question in own(findings) for comparison in question.comparisons
    }
    good = {id(group) for group in answer.good_enough} if len(answer.arms) > 1 else set()
    rows = []
    for number, group in enumerate(answer.arms):
        place: Place = "may be best" if standing.in_set[number] else "not needed"
        rows.append(
            Arm(
                name=name(group, answer),
                group=group,
                metric=answer.scale.metric,
                place="good enough" if id(group) in good else place,
                is_leader=number == leader,
                is_baseline=standing.rules.baselines[number] == number,
                bound=float(standing.bound[number]),
                gain=float(gain[number]),
                low=float(low[number]),
                high=float(standing.over_leader[number]),
                comparison=comparisons.get(id(group)),
            )
        )
    return sorted(rows, key=lambda arm: (not arm.is_leader, arm.place == "not needed", -arm.gain))


def own(findings: Findings) -> list[Question]:
    """Return the questions that compare arms with their baselines, one question for each optimizer."""
    arms = {id(group) for group in findings.answer.arms}

    def is_own(question: Question) -> bool:
        sides = (side for comparison in question.comparisons for side in (comparison.group, comparison.other))
        return question.subject == "scheduler" and all(id(side) in arms for side in sides)

    return [question for question in findings.questions if is_own(question)]


def others(findings: Findings) -> list[Question]:
    """Return the questions that `own` leaves out: comparisons of schedulers at a common base LR, or of optimizers."""
    shown = {id(question) for question in own(findings)}
    return [question for question in findings.questions if id(question) not in shown]


def name(group: Group, answer: Answer) -> str:
    """Return the name of an arm: its scheduler, followed by its optimizer if the sweep has several optimizers."""
    scheduler, optimizer = group.method
    several = len({arm.run.optimizer for arm in answer.arms}) > 1
    return f"{scheduler} with {optimizer}" if several else scheduler


def key(group: Group, answer: Answer) -> str:
    """Return the name of an arm as a key, such as `cosine` or `cosine-adam`."""
    return name(group, answer).replace(" with ", "-")
