"""The arms of an answer, and what is known of each. No I/O."""

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
    """A scheduler with an optimizer, at its own base LR, and what is known of it.

    Differences are positive if the arm is better.
    """

    name: str
    """Its scheduler, and its optimizer if there are several."""
    group: Group
    metric: Metric
    place: Place
    """Not needed: it is not the best. Good enough: nothing is more than the margin better, and it beats the baseline
    if the answer does."""
    is_leader: bool
    is_baseline: bool
    is_provisional: bool
    """True with so few seeds that more may change the place."""
    bound: float
    """Upper bound on how much better anything can be; infinite if it is not known."""
    gain: float
    """The mean difference from the leader over the seeds that both have."""
    low: float
    """Lower end of that difference, by the answer's test."""
    high: float
    """Upper bound on how much better than the leader it can be."""
    comparison: Comparison | None
    """With the baseline; None for a baseline, or if there is none."""

    @property
    def verdict(self) -> str:
        """The verdict against the baseline; empty if there is none."""
        return self.comparison.verdict if self.comparison else ""

    @property
    def behind(self) -> str:
        """How far it can be behind the best; empty for an arm that is not needed."""
        if self.place == "not needed":
            return ""
        return UNKNOWN if math.isinf(self.bound) else amount(self.bound, self.metric).removesuffix(" points")


def arms(findings: Findings) -> list[Arm]:
    """Return the arms of an answer: the leader, then those that may be best, then the others; each part by its mean."""
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
                is_provisional=answer.is_provisional,
                bound=float(standing.bound[number]),
                gain=float(gain[number]),
                low=float(low[number]),
                high=float(standing.over_leader[number]),
                comparison=comparisons.get(id(group)),
            )
        )
    return sorted(rows, key=lambda arm: (not arm.is_leader, arm.place == "not needed", -arm.gain))


def own(findings: Findings) -> list[Question]:
    """Return the questions that compare arms with their baselines: one for each optimizer."""
    arms = {id(group) for group in findings.answer.arms}

    def is_own(question: Question) -> bool:
        sides = (side for comparison in question.comparisons for side in (comparison.group, comparison.other))
        return question.subject == "scheduler" and all(id(side) in arms for side in sides)

    return [question for question in findings.questions if is_own(question)]


def others(findings: Findings) -> list[Question]:
    """Return the other questions: on schedulers at one common base LR, and on optimizers."""
    shown = {id(question) for question in own(findings)}
    return [question for question in findings.questions if id(question) not in shown]


def name(group: Group, answer: Answer) -> str:
    """Return the name of an arm: its scheduler, and its optimizer if there are several."""
    scheduler, optimizer = group.method
    several = len({arm.run.optimizer for arm in answer.arms}) > 1
    return f"{scheduler} with {optimizer}" if several else scheduler


def key(group: Group, answer: Answer) -> str:
    """Return the name of an arm as a key: `cosine`, or `cosine-adam`."""
    return name(group, answer).replace(" with ", "-")
