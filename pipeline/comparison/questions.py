"""The questions that a sweep answers: which groups are compared with which, and the result. No I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from pipeline.comparison.groups import HIGHER_IS_BETTER, Group, at_own_best, is_grid
from pipeline.comparison.statistics import PairedTest, compare, replace_diverged, seeds_needed
from pipeline.params import Metric

Verdict = Literal["better", "worse", "not resolved"]
Pair = tuple[Group, Group]


@dataclass(frozen=True)
class Comparison:
    """A group compared with another over the seeds that they share."""

    group: Group
    other: Group
    metric: Metric
    test: PairedTest
    """Test of the raw metric: a positive difference means higher, which is worse for a loss."""

    @property
    def verdict(self) -> Verdict:
        """Better or worse if the difference is significant."""
        if not self.test.is_significant:
            return "not resolved"
        return "better" if self.gain > 0 else "worse"

    @property
    def gain(self) -> float:
        """The mean difference, positive if the group is better."""
        return self.test.mean if HIGHER_IS_BETTER[self.metric] else -self.test.mean

    @property
    def wins(self) -> float:
        """Probability that a run of the group is better than a run of the other, whatever their seeds."""
        return self.test.wins if HIGHER_IS_BETTER[self.metric] else 1 - self.test.wins

    @property
    def seeds_needed(self) -> int | None:
        """Seeds that would resolve a difference as large as the one observed.

        None if it is resolved already, if there is nothing to judge by, or if it takes more than 10,000.
        """
        if self.verdict != "not resolved":
            return None
        return seeds_needed(self.test.mean, self.test.deviation, self.test.together)


def compared(pairs: Sequence[Pair], metric: Metric) -> list[Comparison]:
    """Compare the groups of each pair; p-values are corrected for all pairs together.

    A diverged run counts with its accuracy or, as its loss is NaN, with the highest loss of any of these runs.
    """
    if not pairs:
        return []
    groups = {group.name: group for pair in pairs for group in pair}
    seeds = [seed for seed in pairs[0][0].seeds if all(seed in group.seeds for group in groups.values())]
    rows = [_by_seed(group, metric, seeds) for group in groups.values()]
    figures = dict(zip(groups, replace_diverged(rows), strict=True))
    tests = compare([figures[group.name] for group, _ in pairs], [figures[other.name] for _, other in pairs])
    return [Comparison(*pair, metric, test) for pair, test in zip(pairs, tests, strict=True)]


def _by_seed(group: Group, metric: Metric, seeds: Sequence[int]) -> list[float]:
    of_seed = dict(zip(group.seeds, group.figures(metric), strict=True))
    return [of_seed[seed] for seed in seeds]


@dataclass(frozen=True)
class Question:
    """Groups compared for one reason: schedulers with the baseline, or optimizers with the first of them."""

    subject: Literal["scheduler", "optimizer"]
    against: str
    """Name of the baseline, or of the first optimizer."""
    at: str
    """The base LR and the optimizer, where there is a choice: ` at a base LR of 0.1`, `, with adam`."""
    comparisons: list[Comparison]

    @property
    def title(self) -> str:
        """The question in words."""
        return f"Each {self.subject} against {self.against}{self.at}"

    def those(self, verdict: Verdict) -> list[Comparison]:
        """The comparisons with a verdict, the largest gain first."""
        found = [each for each in self.comparisons if each.verdict == verdict]
        return sorted(found, key=lambda each: -each.gain)


def questions(groups: Sequence[Group], baseline: str, metric: Metric) -> list[Question]:
    """Return the questions that a sweep answers: schedulers against the baseline, optimizers against the first.

    Over a grid of base LRs, schedulers are compared twice: at the baseline's best rate (of the first optimizer), and
    each at its own best, chosen by validation. At one rate, those that it suits rank high.

    p-values are corrected for all comparisons of the sweep, each counted once.
    """
    asked = []
    for at, chosen in _choices(groups, baseline).items():
        asked += _against_baseline(chosen, baseline, at)
        asked.append(_against_first_optimizer(chosen, groups[0].run.optimizer, at))
    pairs = {(group.name, other.name): (group, other) for *_, those in asked for group, other in those}
    found = dict(zip(pairs, compared(list(pairs.values()), metric), strict=True))
    return [
        Question(subject, against, at, [found[group.name, other.name] for group, other in those])
        for subject, against, at, those in asked
        if those
    ]


_Asked = tuple[Literal["scheduler", "optimizer"], str, str, list[Pair]]
"""A question before the answer: subject, against, at, and the pairs to compare."""
_Chosen = dict[tuple[str, str], Group]
"""One group for each scheduler and optimizer."""


def _choices(groups: Sequence[Group], baseline: str) -> dict[str, _Chosen]:
    """Return the choices of one base LR for each scheduler and optimizer, by the words that describe the choice."""
    own = {group.method: group for group in at_own_best(groups)}
    rates = {group.run.lr for group in groups}
    if len(rates) == 1:
        return {f" at a base LR of {groups[0].run.lr:g}": own}
    if not is_grid(groups):
        return {"": own}
    first = groups[0].run.optimizer
    lr = own.get((baseline, first), own[groups[0].run.scheduler, first]).run.lr
    at_one = own | {group.method: group for group in groups if group.run.lr == lr}
    if at_one == own:
        return {f" at a base LR of {lr:g}, which validates best for each": own}
    return {f" at a base LR of {lr:g}": at_one, ", each at its own best base LR": own}


def _against_baseline(chosen: _Chosen, baseline: str, at: str) -> list[_Asked]:
    """Return one question for each optimizer that the baseline was trained with."""
    optimizers = list(dict.fromkeys(optimizer for _, optimizer in chosen))
    asked: list[_Asked] = []
    for optimizer in optimizers:
        if (baseline, optimizer) in chosen:
            other = chosen[baseline, optimizer]
            others = [group for (name, used), group in chosen.items() if used == optimizer and name != baseline]
            where = f", with {optimizer}{at}" if len(optimizers) > 1 else at
            asked.append(("scheduler", baseline, where, [(group, other) for group in others]))
    return asked


def _against_first_optimizer(chosen: _Chosen, first: str, at: str) -> _Asked:
    pairs = [
        (group, chosen[scheduler, first])
        for (scheduler, optimizer), group in chosen.items()
        if optimizer != first and (scheduler, first) in chosen
    ]
    return "optimizer", first, at, pairs


def first_of_each(questions: Sequence[Question]) -> dict[str, Comparison]:
    """Return the first comparison of each group, by the group's name."""
    found: dict[str, Comparison] = {}
    for question in questions:
        for each in question.comparisons:
            found.setdefault(each.group.name, each)
    return found


@dataclass(frozen=True)
class Confound:
    """Spearman's rank correlation, over schedulers, of the final LR with how good the metric is."""

    rho: float
    p: float


def final_lr_effect(question: Question) -> Confound:
    """Return how far the final LR explains the results of a question; NaN for fewer than four groups."""
    metric = question.comparisons[0].metric
    groups = list({each.name: each for found in question.comparisons for each in (found.group, found.other)}.values())
    means = [statistics.fmean(group.figures(metric)) for group in groups]
    rates = [group.final_lr for group in groups]
    if len(groups) < 4 or len(set(rates)) == 1 or len(set(means)) == 1 or any(map(math.isnan, means)):
        return Confound(math.nan, math.nan)
    test = stats.spearmanr(rates, means if HIGHER_IS_BETTER[metric] else [-mean for mean in means])
    return Confound(float(test.statistic), float(test.pvalue))
