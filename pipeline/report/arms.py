"""What is said of each arm of an answer, and the cells that page, terminal and metrics share. No I/O."""

import math
import statistics
from dataclasses import dataclass
from typing import Literal

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import Group, figures
from pipeline.comparison.questions import Comparison, Question
from pipeline.comparison.standing import ERROR
from pipeline.comparison.statistics import standard_deviation
from pipeline.report import phrases
from pipeline.runs.params import Metric

Place = Literal["good enough", "may be best", "not needed"]
UNKNOWN = "?"
"""Stands for a bound or an interval that the seeds do not give."""


@dataclass(frozen=True)
class Arm:
    """A scheduler with an optimizer, at its own base LR, and what is known of it.

    Differences are positive where the arm is better.
    """

    name: str
    """Its scheduler, and its optimizer where there are several."""
    group: Group
    metric: Metric
    place: Place
    """Not needed: it is not the best. Good enough: nothing is more than the margin better, and it beats the baseline
    if the answer does."""
    is_leader: bool
    is_baseline: bool
    is_provisional: bool
    """True if so few seeds were trained that more may change the place."""
    bound: float
    """How much better anything can be, at most; infinite if that is not known."""
    gain: float
    """The mean difference from the leader over the seeds that both have."""
    low: float
    """Lower end of that difference, as the answer's test gives it."""
    high: float
    """How much better it can be than the leader, at most."""
    comparison: Comparison | None
    """With the baseline; None for a baseline, or if there is none."""

    @property
    def verdict(self) -> str:
        """The verdict against the baseline; empty if there is none."""
        return self.comparison.verdict if self.comparison else ""

    @property
    def behind(self) -> str:
        """How far it is behind the best, at most; empty for what is not needed."""
        if self.place == "not needed":
            return ""
        return UNKNOWN if math.isinf(self.bound) else phrases.amount(self.bound, self.metric).removesuffix(" points")

    @property
    def mean(self) -> str:
        """Mean and standard deviation of the metric."""
        return mean(self.group, self.metric)

    @property
    def difference(self) -> str:
        """Mean difference from the baseline; empty if there is none."""
        return phrases.number(self.comparison.gain, self.metric) if self.comparison else ""

    @property
    def interval(self) -> str:
        """Interval of the difference from the baseline; empty if there is none."""
        return interval(self.comparison)

    @property
    def failures(self) -> str:
        """Number of runs that diverged or died; empty if none did."""
        return failures(self.group)


def arms(findings: Findings) -> list[Arm]:
    """Return the arms of an answer: the leader, then those that may be best, then the others; each by its mean."""
    answer, standing = findings.answer, findings.answer.standing
    values = figures(answer.arms, answer.scale.metric)
    evidence, leader = Evidence(values, answer.scale.least), standing.leader
    gain = evidence.mean(standing.held)[:, leader]
    level = ERROR / max(len(answer.arms) - 1, 1)
    low = -evidence.upper(standing.held, level)[leader]
    compared = {id(each.group): each for question in own(findings) for each in question.comparisons}
    good = {id(group) for group in answer.good_enough} if len(answer.arms) > 1 else set()
    found = []
    for arm, group in enumerate(answer.arms):
        place: Place = "may be best" if standing.in_set[arm] else "not needed"
        found.append(
            Arm(
                name=name(group, answer),
                group=group,
                metric=answer.scale.metric,
                place="good enough" if id(group) in good else place,
                is_leader=arm == leader,
                is_baseline=standing.rules.baselines[arm] == arm,
                is_provisional=answer.is_provisional,
                bound=float(standing.bound[arm]),
                gain=float(gain[arm]),
                low=float(low[arm]),
                high=float(standing.over_leader[arm]),
                comparison=compared.get(id(group)),
            )
        )
    return sorted(found, key=lambda each: (not each.is_leader, each.place == "not needed", -each.gain))


def own(findings: Findings) -> list[Question]:
    """Return the questions that compare arms with their baselines: one for each optimizer."""
    those = {id(group) for group in findings.answer.arms}
    return [
        question
        for question in findings.questions
        if question.subject == "scheduler"
        and all(id(side) in those for each in question.comparisons for side in (each.group, each.other))
    ]


def others(findings: Findings) -> list[Question]:
    """Return the other questions: on schedulers at one common base LR, and on optimizers."""
    shown = {id(question) for question in own(findings)}
    return [question for question in findings.questions if id(question) not in shown]


def name(group: Group, answer: Answer) -> str:
    """Return the name of an arm: its scheduler, and its optimizer where there are several."""
    scheduler, optimizer = group.method
    several = len({arm.run.optimizer for arm in answer.arms}) > 1
    return f"{scheduler} with {optimizer}" if several else scheduler


def key(group: Group, answer: Answer) -> str:
    """Return the name of an arm as a key: `cosine`, or `cosine-adam`."""
    return name(group, answer).replace(" with ", "-")


def mean(group: Group, metric: Metric) -> str:
    """Return mean and standard deviation of a metric; empty if they are not known."""
    return " ± ".join(filter(None, mean_and_deviation(group, metric)))


def mean_and_deviation(group: Group, metric: Metric) -> tuple[str, str]:
    """Return mean and standard deviation of a metric, accuracies in per cent; empty where they are not known."""
    values = group.figures(metric)
    found = statistics.fmean(values), standard_deviation(values)
    if metric == "test_accuracy":
        texts = [f"{100 * each:.2f}" for each in found]
    else:
        texts = [f"{found[0]:#.4g}".rstrip("."), f"{found[1]:.2g}"]
    first, second = (text if math.isfinite(each) else "" for each, text in zip(found, texts, strict=True))
    return first, second


def interval(comparison: Comparison | None) -> str:
    """Return the interval of a difference; empty without a comparison."""
    if comparison is None:
        return ""
    return UNKNOWN if math.isinf(comparison.low) or math.isinf(comparison.high) else phrases.interval(comparison)


def failures(group: Group) -> str:
    """Return how many runs diverged or died; empty if none did."""
    counts = {outcome: group.count(outcome) for outcome in ("diverged", "dead")}
    return ", ".join(f"{count} of {len(group.records)} {word}" for word, count in counts.items() if count)
