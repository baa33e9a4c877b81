"""The arms of an answer, with their results. No I/O."""

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
    """A scheduler with an optimizer at its own base LR, and its results.

    Differences are positive if the arm is better.
    """

    name: str
    """The name of the scheduler, and of the optimizer if the sweep has several."""
    group: Group
    metric: Metric
    place: Place
    """Whether to use the arm.

    An arm is not needed if another arm is better. An arm is good enough if no arm is better by more than the margin,
    and if it beats the baseline whenever the leader does. All other arms may be best.
    """
    is_leader: bool
    is_baseline: bool
    bound: float
    """Upper bound on how much better any other arm can be, or infinity if the seeds give no bound."""
    gain: float
    """Mean difference from the leader, over the seeds that the two have in common."""
    low: float
    """Lower end of the interval of ``gain``, from the test that gives the answer."""
    high: float
    """Upper bound on how much better than the leader the arm can be."""
    comparison: Comparison | None
    """The comparison with the baseline, or None if the arm is a baseline or has none."""

    @property
    def verdict(self) -> str:
        """The verdict against the baseline, or an empty text if there is no comparison."""
        return self.comparison.verdict if self.comparison else ""

    @property
    def behind(self) -> str:
        """How far the arm can be behind the best, or an empty text for an arm that is not needed."""
        if self.place == "not needed":
            return ""
        return UNKNOWN if math.isinf(self.bound) else amount(self.bound, self.metric).removesuffix(" points")


def arms(findings: Findings) -> list[Arm]:
    """Return all arms: first the leader, then arms that may be best, then all others, each part sorted by `gain`."""
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
    """Return the questions that compare arms with their baselines, one for each optimizer."""
    arms = {id(group) for group in findings.answer.arms}

    def is_own(question: Question) -> bool:
        sides = (side for comparison in question.comparisons for side in (comparison.group, comparison.other))
        return question.subject == "scheduler" and all(id(side) in arms for side in sides)

    return [question for question in findings.questions if is_own(question)]


def others(findings: Findings) -> list[Question]:
    """Return the questions that are not in `own`: schedulers at a common base LR, and optimizers."""
    shown = {id(question) for question in own(findings)}
    return [question for question in findings.questions if id(question) not in shown]


def name(group: Group, answer: Answer) -> str:
    """Return the name of an arm: its scheduler, and its optimizer if the sweep has several."""
    scheduler, optimizer = group.method
    several = len({arm.run.optimizer for arm in answer.arms}) > 1
    return f"{scheduler} with {optimizer}" if several else scheduler


def key(group: Group, answer: Answer) -> str:
    """Return the name of an arm as a key, such as `cosine` or `cosine-adam`."""
    return name(group, answer).replace(" with ", "-")
