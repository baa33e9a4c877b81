"""What the runs of a sweep say together. No I/O."""

import math
import statistics
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

from pipeline.comparison.learning_curves import LearningCurve, learning_curve
from pipeline.params import Metric, Run
from pipeline.records import Record, Score

HIGHER_IS_BETTER: dict[Metric, bool] = {"test_accuracy": True, "test_loss": False}
LEVEL = 0.95
"""How sure an interval is; what it leaves is how often any of the differences that are none may be said to be one."""
POWER = 0.8
"""How often a number of seeds that is called enough finds what is there."""
MANY = 10_000
"""Seeds that nobody will train."""
ORDER = ("finished", "dead", "diverged")
"""Of outcomes, the best first."""


@dataclass(frozen=True)
class Group:
    """The runs of a sweep that differ in nothing but the seed."""

    name: str
    records: list[Record]
    scores: list[Score]

    @property
    def run(self) -> Run:
        """The settings of the first of its runs: those of all, but for the seed."""
        return self.records[0].run

    @property
    def kind(self) -> tuple[str, str]:
        """Scheduler and optimizer: what groups have in common that differ in the base LR alone."""
        return self.run.scheduler, self.run.optimizer

    def of(self, metric: Metric) -> list[float]:
        """The metric of each seed."""
        return [getattr(score, metric) for score in self.scores]

    @property
    def losses(self) -> list[float]:
        """Test loss of each seed; not a number where it diverged."""
        return self.of("test_loss")

    @property
    def has_accuracy(self) -> bool:
        """Whether there are classes."""
        return all(score.test_accuracy is not None for score in self.scores)

    @property
    def final_lr(self) -> float:
        """The mean of the rates that the runs ended with; of those that went to their end, if there are any."""
        return statistics.fmean(record.last.lr for record in self._whole)

    @property
    def mean_lr(self) -> float:
        """The mean of the rates of all recorded epochs, of the same runs."""
        return statistics.fmean(epoch.lr for record in self._whole for epoch in record.epochs)

    @property
    def cycles_momentum(self) -> bool:
        """Whether the schedule changes more than the rate."""
        return bool(getattr(self.run.schedule, "cycle_momentum", False))

    @property
    def _whole(self) -> list[Record]:
        return [record for record in self.records if record.last.epoch == record.run.epochs] or self.records

    def count(self, outcome: str) -> int:
        """How many of the runs came to this. All count in every mean: a scheduler is not judged by its survivors."""
        return sum(record.outcome == outcome for record in self.records)

    @property
    def curves(self) -> list[LearningCurve]:
        """The learning curve of each seed."""
        return [learning_curve(record) for record in self.records]

    @property
    def usual_curve(self) -> str:
        """The word for most of the learning curves, and for how many."""
        (word, count), *_ = Counter(curve.verdict for curve in self.curves).most_common(1)
        return f"{word} {count}/{len(self.records)}" if len(self.records) > 1 else str(self.curves[0])


def best_runs(records: Iterable[Record]) -> list[Record]:
    """Of each group the run that ended with the lowest validation loss; a dead or diverged one for want of others."""
    best: dict[str, Record] = {}
    for record in records:
        held = best.setdefault(record.run.group, record)
        if _worth(record) < _worth(held):
            best[record.run.group] = record
    return list(best.values())


def _worth(record: Record) -> tuple[int, float]:
    return ORDER.index(record.outcome), record.last.val_loss


def grouped(results: Sequence[tuple[Record, Score]]) -> list[Group]:
    """The groups of a sweep, in its order."""
    groups: dict[str, Group] = {}
    for record, score in results:
        group = groups.setdefault(record.run.group, Group(record.run.group, [], []))
        group.records.append(record)
        group.scores.append(score)
    return list(groups.values())


def ranked(groups: Sequence[Group], metric: Metric) -> list[Group]:
    """Best mean of the metric first, no number last; of equals, the one that comes first in the sweep."""

    def key(group: Group) -> float:
        mean = statistics.fmean(group.of(metric))
        return math.inf if math.isnan(mean) else -mean if HIGHER_IS_BETTER[metric] else mean

    return sorted(groups, key=key)


def spread(figures: Sequence[float]) -> float:
    """The standard deviation over seeds; not a number for one seed, or where a run diverged."""
    known = len(figures) > 1 and all(map(math.isfinite, figures))
    return statistics.stdev(figures) if known else math.nan


def margin(figures: Sequence[float]) -> float:
    """Half of the 95% interval of Student's t for their mean; not a number where `spread` is none."""
    from scipy import special

    return float(special.stdtrit(len(figures) - 1, (1 + LEVEL) / 2)) * spread(figures) / math.sqrt(len(figures))


Verdict = Literal["better", "worse", "not resolved"]


@dataclass(frozen=True)
class Comparison:
    """What the seeds that two groups share say about the difference between them. Positive is higher, not better."""

    group: Group
    other: Group
    """What it is compared with."""
    metric: Metric
    mean: float
    """Of the differences of each seed, metric of the group minus that of the other."""
    low: float
    """Of the 95% interval of Student's t for that mean; not a number without a spread to judge by."""
    high: float
    p: float
    """Of the paired t test, two-sided: Student 1908, "The probable error of a mean"."""
    adjusted: float
    """The same after Holm's correction for all comparisons that are made together: Holm 1979, "A simple sequentially
    rejective multiple test procedure"."""
    effect: float
    """Hedges' g of paired differences, their mean over their standard deviation: positive is higher, not better."""
    improvement: float
    """The probability that a run of the group is better than one of the other, whatever their seeds: Agarwal et al.
    2021, "Deep reinforcement learning at the edge of the statistical precipice"."""
    verdict: Verdict
    deviation: float
    """Of the differences; 0 where there is nothing to judge by."""
    together: int
    """How many comparisons are made together, this one included."""

    @property
    def needed(self) -> int | None:
        """Seeds that would resolve a difference as large and as scattered as this one, four times out of five.

        None where that is resolved, or cannot be said, or is more than `MANY`.
        """
        return seeds_needed(self.mean, self.deviation, self.together) if self.verdict == "not resolved" else None

    @property
    def margin(self) -> float:
        """Half of the interval."""
        return (self.high - self.low) / 2

    @property
    def gain(self) -> float:
        """The mean, positive where it is better."""
        return self.mean if HIGHER_IS_BETTER[self.metric] else -self.mean


def compare(pairs: Sequence[tuple[Group, Group]], metric: Metric) -> list[Comparison]:
    """Compare each group with another that has the same seeds.

    A difference is better or worse where p, corrected for all of ``pairs``, is at most 0.05. A run that diverged counts
    with its accuracy or, where its loss is no number, with the highest loss that any of these runs has.
    """
    losses = [loss for pair in pairs for group in pair for loss in group.losses if math.isfinite(loss)]
    worst = max(losses, default=math.nan)
    found = [_differences(*pair, metric, worst) for pair in pairs]
    tests = [_t_test(differences) for differences in found]
    corrected = _holm([1.0 if math.isnan(p) else p for _, _, p in tests])
    comparisons = []
    for pair, differences, (low, high, p), holm in zip(pairs, found, tests, corrected, strict=True):
        mean, deviation = statistics.fmean(differences), _scatter(differences)
        resolved = holm <= 1 - LEVEL
        is_better = (mean > 0) == HIGHER_IS_BETTER[metric]
        one, two = (_figures(each, metric, worst) for each in pair)
        won = statistics.fmean((mine > its) + (mine == its) / 2 for mine, its in product(one, two))
        comparisons.append(
            Comparison(
                *pair,
                metric,
                mean=mean,
                low=low,
                high=high,
                p=p,
                adjusted=math.nan if math.isnan(p) else holm,
                effect=_hedges(len(differences)) * mean / deviation if deviation else math.nan,
                improvement=won if HIGHER_IS_BETTER[metric] else 1 - won,
                verdict="not resolved" if not resolved else "better" if is_better else "worse",
                deviation=deviation,
                together=len(pairs),
            )
        )
    return comparisons


def _figures(group: Group, metric: Metric, worst: float) -> list[float]:
    return [figure if math.isfinite(figure) else worst for figure in group.of(metric)]


def _differences(group: Group, other: Group, metric: Metric, worst: float) -> list[float]:
    """By seed, of the seeds that both have."""
    one, two = (
        dict(zip([record.run.seed for record in each.records], _figures(each, metric, worst), strict=True))
        for each in (group, other)
    )
    return [one[seed] - two[seed] for seed in one if seed in two]


def _scatter(differences: Sequence[float]) -> float:
    """Their standard deviation; 0 where there is one, or all are alike up to rounding: nothing to judge by."""
    deviation = spread(differences)
    return deviation if deviation > 1e-9 * max(map(abs, differences)) else 0.0


def _t_test(differences: Sequence[float]) -> tuple[float, float, float]:
    """The interval's ends and p; no numbers where nothing scatters, even if all differences are the same one."""
    from scipy import special

    deviation, mean = _scatter(differences), statistics.fmean(differences)
    if not deviation:
        return math.nan, math.nan, math.nan
    degrees, error = len(differences) - 1, deviation / math.sqrt(len(differences))
    half = margin(differences)
    return mean - half, mean + half, 2 * float(special.stdtr(degrees, -abs(mean) / error))


def _holm(values: Sequence[float]) -> list[float]:
    """Corrected p-values: of m, the smallest times m, the next times m - 1 ..., and none below one before it."""
    adjusted, highest = dict.fromkeys(range(len(values)), 1.0), 0.0
    for rank, place in enumerate(sorted(adjusted, key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return [adjusted[place] for place in range(len(values))]


def _hedges(seeds: int) -> float:
    """The factor that takes the bias from a standardised mean of so few; of two, there is none.

    Source: Hedges 1981, "Distribution theory for Glass's estimator of effect size and related estimators".
    """
    half = (seeds - 1) / 2
    return math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half) if seeds > 2 else math.nan


def power(effect: float, seeds: int, comparisons: int = 1) -> float:
    """How often a paired t test with so many seeds finds a difference of ``effect`` standard deviations.

    Args:
        effect: the mean of the differences over their standard deviation.
        seeds: at least two.
        comparisons: that are made together; the level is divided by their number, as Holm's first step does.
    """
    from scipy import special, stats

    level = (1 - LEVEL) / comparisons
    if not effect:  # for which scipy's noncentral F is wrong
        return level
    # Of t squared, which is F: scipy's noncentral t is often not a number where the effect is large.
    bound = special.stdtrit(seeds - 1, 1 - level / 2) ** 2
    return float(stats.ncf.sf(bound, 1, seeds - 1, effect**2 * seeds))


def seeds_needed(mean: float, deviation: float, comparisons: int = 1) -> int | None:
    """The fewest seeds with which a difference like this is found four times out of five.

    Args:
        mean: of the differences of each seed.
        deviation: their standard deviation.
        comparisons: that are made together.

    Returns:
        None where it is more than `MANY`, or where there is no difference or no spread.
    """
    if not deviation or not mean:
        return None
    effect = mean / deviation
    if power(effect, MANY, comparisons) < POWER:
        return None
    return bisect_left(range(MANY), POWER, lo=2, key=lambda seeds: power(effect, seeds, comparisons))


def detectable(seeds: int, comparisons: int = 1) -> float:
    """The smallest difference that is found four times out of five, in standard deviations of paired differences."""
    from scipy import optimize

    enough = 1.0
    while power(enough, seeds, comparisons) < POWER:
        enough *= 2
    return float(optimize.brentq(lambda effect: power(effect, seeds, comparisons) - POWER, 0, enough))


def is_grid(groups: Sequence[Group]) -> bool:
    """Whether a scheduler has several base LRs."""
    return len({group.kind for group in groups}) < len(groups)


def at_own_best(groups: Sequence[Group]) -> list[Group]:
    """Of each scheduler and optimizer, the group at the base LR that validates best: all of them without a grid."""
    kinds: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        kinds.setdefault(group.kind, []).append(group)
    return [min(of_kind, key=_validation) for of_kind in kinds.values()]


@dataclass(frozen=True)
class Question:
    """Groups that are compared with each other, for one reason."""

    of: Literal["scheduler", "optimizer"]
    against: str
    """The baseline's name, or the first optimizer's."""
    at: str
    """With which optimizer, and at which base LR, where there are several."""
    comparisons: list[Comparison]

    @property
    def title(self) -> str:
        """In words."""
        return f"Each {self.of} against {self.against}{self.at}"

    def those(self, verdict: Verdict) -> list[Comparison]:
        """Of one verdict, the largest difference for the better first."""
        found = [each for each in self.comparisons if each.verdict == verdict]
        return sorted(found, key=lambda each: -each.gain)


def questions(groups: Sequence[Group], baseline: str, metric: Metric) -> list[Question]:
    """What a sweep can be asked: schedulers against the baseline, of each optimizer, and optimizers against the first.

    With a grid of base LRs it is asked twice: at one LR for all, that at which the baseline validates best with the
    first optimizer; and at each scheduler's own best, chosen by validation. At one LR those rank high whom it suits.

    What p is corrected for are all comparisons of the sweep, each counted once.
    """
    own = {group.kind: group for group in at_own_best(groups)}
    first = groups[0].run.optimizer
    rates = {group.run.lr for group in groups}
    ways = {f" at a base LR of {groups[0].run.lr:g}" if len(rates) == 1 else "": own}
    if is_grid(groups):
        lr = own.get((baseline, first), own[groups[0].run.scheduler, first]).run.lr
        at_one = own | {group.kind: group for group in groups if group.run.lr == lr}
        ways = {f" at a base LR of {lr:g}": at_one, ", each at its own best base LR": own}
        if at_one == own:
            ways = {f" at a base LR of {lr:g}, which validates best for each": own}
    optimizers = list(dict.fromkeys(optimizer for _, optimizer in own))
    asked: list[tuple[Literal["scheduler", "optimizer"], str, str, list[tuple[Group, Group]]]] = []
    for way, chosen in ways.items():
        for optimizer in optimizers:
            of_optimizer = {kind: group for kind, group in chosen.items() if kind[1] == optimizer}
            if other := of_optimizer.pop((baseline, optimizer), None):
                at = f", with {optimizer}" * (len(optimizers) > 1) + way
                asked.append(("scheduler", baseline, at, [(group, other) for group in of_optimizer.values()]))
        others = {kind: group for kind, group in chosen.items() if kind[1] != first}
        pairs = [(group, chosen[kind[0], first]) for kind, group in others.items() if (kind[0], first) in chosen]
        asked.append(("optimizer", first, way, pairs))
    every = {(group.name, other.name): (group, other) for *_, pairs in asked for group, other in pairs}
    found = dict(zip(every, compare(list(every.values()), metric), strict=True))
    return [
        Question(of, against, at, [found[group.name, other.name] for group, other in pairs])
        for of, against, at, pairs in asked
        if pairs
    ]


def first_of_each(questions: Sequence[Question]) -> dict[str, Comparison]:
    """By the group's name, the comparison that the first of the questions makes of it."""
    found: dict[str, Comparison] = {}
    for question in questions:
        for each in question.comparisons:
            found.setdefault(each.group.name, each)
    return found


def _validation(group: Group) -> tuple[int, float]:
    """What a base LR is chosen by: few failures, then a low mean of the last validation losses."""
    loss = statistics.fmean(record.last.val_loss for record in group.records)
    return len(group.records) - group.count("finished"), math.inf if math.isnan(loss) else loss


@dataclass(frozen=True)
class Confound:
    """How well the rates that runs end with explain how good they are."""

    rho: float
    """Spearman's rank correlation, over schedulers, of the final LR and how good the metric is."""
    p: float


def final_lr_effect(question: Question, metric: Metric) -> Confound:
    """Spearman's correlation of final LR and metric over what a question is about; not a number for fewer than four."""
    from scipy import stats

    groups = list({each.name: each for found in question.comparisons for each in (found.group, found.other)}.values())
    means = [statistics.fmean(group.of(metric)) for group in groups]
    rates = [group.final_lr for group in groups]
    if len(groups) < 4 or len(set(rates)) == 1 or len(set(means)) == 1 or any(map(math.isnan, means)):
        return Confound(math.nan, math.nan)
    test = stats.spearmanr(rates, means if HIGHER_IS_BETTER[metric] else [-mean for mean in means])
    return Confound(float(test.statistic), float(test.pvalue))
