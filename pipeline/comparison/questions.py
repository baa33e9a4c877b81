"""Compares a sweep's schedulers with the baseline, and its optimizers with the first optimizer. No I/O."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from pipeline.comparison.anytime import FIRST, Evidence
from pipeline.comparison.groups import Group, SweepGroups, comparable_figures, is_grid, seed_counts
from pipeline.comparison.standing import compare_pairs
from pipeline.comparison.statistics import deviation, hedges_factor, seeds_needed, wins
from pipeline.runs.metric import Metric

Verdict = Literal["better", "worse", "equivalent", "open"]
Pair = tuple[Group, Group]


@dataclass(frozen=True)
class Scale:
    """The metric of a comparison, its margin, and the smallest standard deviation to assume."""

    metric: Metric
    margin: float
    """The smallest difference that matters, in the units of `pipeline.comparison.groups.comparable_figures`."""
    least: float = 0.0
    """Lower limit for the standard deviation of differences. For an accuracy, it is 1 / (number of test examples)."""


@dataclass(frozen=True)
class Comparison:
    """The comparison of two groups over the seeds that both groups have.

    Differences are positive if the first group is better. They are differences between accuracies or between logarithms
    of losses; see `pipeline.comparison.groups.comparable_figures`.
    """

    group: Group
    other: Group
    scale: Scale
    seeds: int
    """The number of seeds that both groups have."""
    gain: float
    """The mean difference."""
    low: float
    """The lower end of the confidence interval for `gain`. With 95% confidence, a question's intervals all hold."""
    high: float
    """The upper end of the confidence interval for `gain`."""
    p: float
    """Two-sided p-value after Holm's correction."""
    better: int
    """1 if the first group is better, -1 if it is worse, 0 if the test shows neither."""
    together: int
    """The number of comparisons that are corrected together, including this comparison."""
    deviation: float
    """The standard deviation of the differences, or 0 if all differences are equal."""
    effect: float
    """Hedges' g, which is the mean difference divided by `deviation` and corrected for bias.

    The effect is NaN if there are fewer than three seeds or if `deviation` is 0.
    """
    wins: float
    """The share of pairs of runs, one from each group, in which the run from the first group is better.

    A tie counts as half.
    """

    @property
    def metric(self) -> Metric:
        """The metric of the comparison."""
        return self.scale.metric

    @property
    def verdict(self) -> Verdict:
        """The verdict: `equivalent` if the whole interval is within the margin, else `better`, `worse` or `open`."""
        if -self.scale.margin <= self.low and self.high <= self.scale.margin:
            return "equivalent"
        return {1: "better", -1: "worse", 0: "open"}[self.better]  # type: ignore[return-value]

    @property
    def is_provisional(self) -> bool:
        """True if the verdict may still change because the comparison has fewer than `FIRST` seeds.

        With so few seeds, heavy tails may mislead the test.
        """
        return self.seeds < FIRST

    @property
    def seeds_needed(self) -> int | None:
        """The number of seeds that would settle the comparison if the observed difference were the true difference.

        The number is None if the comparison is settled, if no estimate is possible, or if more than 10,000 seeds are
        needed.
        """
        if self.verdict != "open":
            return None
        to_margin = self.scale.margin - abs(self.gain)
        sizes = [size for size in (abs(self.gain), to_margin) if size > 0]
        needed = [seeds_needed(size, self.deviation, self.together) for size in sizes]
        return min((seeds for seeds in needed if seeds is not None), default=None)


def compare_groups(pairs: Sequence[Pair], scale: Scale) -> list[Comparison]:
    """Return the comparison of each pair of groups; p-values and intervals are corrected for all pairs together."""
    if not pairs:
        return []
    groups = list({group.name: group for pair in pairs for group in pair}.values())
    rows = {group.name: row for row, group in enumerate(groups)}
    values = comparable_figures(groups, scale.metric)
    seeds = seed_counts(values)
    row_pairs = [(rows[group.name], rows[other.name]) for group, other in pairs]
    results = compare_pairs(Evidence(values, scale.least), np.array(seeds), row_pairs)
    comparisons = []
    for place, ((group, other), (row, reference)) in enumerate(zip(pairs, row_pairs, strict=True)):
        common = min(seeds[row], seeds[reference])
        first, second = values[row, :common], values[reference, :common]
        gain, scatter = float((first - second).mean()), deviation(first - second)
        comparisons.append(
            Comparison(
                group=group,
                other=other,
                scale=scale,
                seeds=common,
                gain=gain,
                low=float(results.low[place]),
                high=float(results.high[place]),
                p=float(results.adjusted[place]),
                better=int(results.better[place]),
                together=len(pairs),
                deviation=scatter,
                effect=hedges_factor(common) * gain / scatter if scatter else math.nan,
                wins=wins(first, second),
            )
        )
    return comparisons


@dataclass(frozen=True)
class Question:
    """The comparisons of schedulers with the baseline, or of optimizers with the first optimizer."""

    subject: Literal["scheduler", "optimizer"]
    against: str
    """The name of the baseline or of the first optimizer."""
    at: str
    """The end of `title`, such as ` at a base LR of 0.1` or `, with adam`; empty if there is nothing to add."""
    comparisons: list[Comparison]

    @property
    def title(self) -> str:
        """The question in words."""
        return f"Each {self.subject} against {self.against}{self.at}"

    @property
    def scale(self) -> Scale:
        """The scale of the comparisons."""
        return self.comparisons[0].scale

    @property
    def is_provisional(self) -> bool:
        """True if at least one verdict may still change because its comparison has too few seeds."""
        return any(comparison.is_provisional for comparison in self.comparisons)

    def with_verdict(self, verdict: Verdict) -> list[Comparison]:
        """Return the comparisons that have the given verdict, with the largest gain first."""
        comparisons = [comparison for comparison in self.comparisons if comparison.verdict == verdict]
        return sorted(comparisons, key=lambda comparison: -comparison.gain)


def questions(sweep: SweepGroups, baseline: str, scale: Scale) -> list[Question]:
    """Return a sweep's questions with their results.

    Schedulers are compared with the baseline, and optimizers are compared with the first optimizer.
    If there are several base LRs, schedulers are compared twice: each at its own best rate, and all at the rate that is
    best for the baseline with the first optimizer. A common rate suits some schedulers better than others.

    All comparisons of schedulers with a baseline are corrected together for multiple testing, and so are all
    comparisons of optimizers. Comparisons at a common rate are corrected separately from comparisons at each
    scheduler's own rate.
    """
    answered = []
    for at, chosen in _choices(sweep, baseline).items():
        answered += _answered(_against_baseline(chosen, baseline, at), scale)
        answered += _answered([_against_first_optimizer(chosen, sweep.groups[0].run.optimizer, at)], scale)
    return answered


_Unanswered = tuple[Literal["scheduler", "optimizer"], str, str, list[Pair]]
"""A question without results: `subject`, `against` and `at` as in `Question`, and the pairs of groups to compare."""


def _answered(unanswered: Sequence[_Unanswered], scale: Scale) -> list[Question]:
    """Return the questions with their results, all corrected together. Questions without pairs are left out."""
    comparisons = iter(compare_groups([pair for *_, pairs in unanswered for pair in pairs], scale))
    return [
        Question(subject, against, at, [next(comparisons) for _ in pairs])
        for subject, against, at, pairs in unanswered
        if pairs
    ]


_Chosen = dict[tuple[str, str], Group]
"""One group for each pair of scheduler and optimizer, keyed by that pair."""


def _choices(sweep: SweepGroups, baseline: str) -> dict[str, _Chosen]:
    """Return the groups to compare under each choice of base LRs, keyed by a description of the choice."""
    own = {group.method: group for group in sweep.arms}
    rates = {group.run.lr for group in sweep.groups}
    if len(rates) == 1:
        return {f" at a base LR of {sweep.groups[0].run.lr:g}": own}
    if not is_grid(group.run for group in sweep.groups):
        return {"": own}
    first = sweep.groups[0].run.optimizer
    lr = own.get((baseline, first), own[sweep.groups[0].run.scheduler, first]).run.lr
    if all(group.run.lr == lr for group in own.values()):
        return {f" at a base LR of {lr:g}, which validates best for each": own}
    at_one = {group.method: group for group in sweep.tuning if group.run.lr == lr}
    return {", each at its own best base LR": own, f" at a base LR of {lr:g}": at_one}


def _against_baseline(chosen: _Chosen, baseline: str, at: str) -> list[_Unanswered]:
    """Return the questions that compare schedulers with the baseline, one for each optimizer that has a baseline."""
    optimizers = list(dict.fromkeys(optimizer for _, optimizer in chosen))
    unanswered: list[_Unanswered] = []
    for optimizer in optimizers:
        if (baseline, optimizer) in chosen:
            other = chosen[baseline, optimizer]
            others = [group for (name, used), group in chosen.items() if used == optimizer and name != baseline]
            where = f", with {optimizer}{at}" if len(optimizers) > 1 else at
            unanswered.append(("scheduler", baseline, where, [(group, other) for group in others]))
    return unanswered


def _against_first_optimizer(chosen: _Chosen, first: str, at: str) -> _Unanswered:
    """Return the question that compares every other optimizer with the first optimizer, scheduler by scheduler."""
    pairs = [
        (group, chosen[scheduler, first])
        for (scheduler, optimizer), group in chosen.items()
        if optimizer != first and (scheduler, first) in chosen
    ]
    return "optimizer", first, at, pairs


@dataclass(frozen=True)
class Confound:
    """Spearman's rank correlation between the final LRs of schedulers and the quality of their results."""

    rho: float
    p: float


def final_lr_effect(question: Question) -> Confound:
    """Return the correlation between final LRs and the results of a question.

    The correlation is NaN if there are fewer than four groups, if all LRs or all results are equal, or if at least one
    result is NaN. Groups whose schedules average the weights are left out, because averaging acts like a low final
    rate.
    """
    metric = question.scale.metric
    pairs = ((comparison.group, comparison.other) for comparison in question.comparisons)
    groups = list({group.name: group for pair in pairs for group in pair}.values())
    groups = [group for group in groups if not group.run.schedule.publishes_average]
    means = [group.mean(metric) for group in groups]
    rates = [group.final_lr for group in groups]
    if len(groups) < 4 or len(set(rates)) == 1 or len(set(means)) == 1 or any(map(math.isnan, means)):
        return Confound(math.nan, math.nan)
    test = stats.spearmanr(rates, [metric.sign * mean for mean in means])
    return Confound(float(test.statistic), float(test.pvalue))
