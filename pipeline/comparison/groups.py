"""The groups of a sweep: the runs that differ in nothing but the seed. No I/O."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.comparison.anytime import Figures
from pipeline.comparison.learning_curves import LearningCurve, learning_curve
from pipeline.comparison.statistics import replace_diverged
from pipeline.errors import UserError
from pipeline.runs.params import FIRST_SEEDS, Metric, Run
from pipeline.runs.records import Record, Score

LEAST_LOSS = 1e-12
"""Lower losses count as this: they are compared as logarithms."""
OUTCOMES = ("finished", "dead", "diverged")
"""From best to worst."""


@dataclass(frozen=True)
class Group:
    """The runs of a sweep that differ in nothing but the seed."""

    name: str
    records: list[Record]
    scores: list[Score]
    """The score of each record, in the same order."""

    @property
    def run(self) -> Run:
        """The settings of the first run; those of the others differ in the seed alone."""
        return self.records[0].run

    @property
    def method(self) -> tuple[str, str]:
        """Scheduler and optimizer: groups with the same method differ in the base LR."""
        return self.run.method

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [record.run.seed for record in self.records]

    def figures(self, metric: Metric) -> list[float]:
        """The metric of each run; the loss of a diverged run is NaN."""
        return [getattr(score, metric) for score in self.scores]

    def of(self, seeds: Iterable[int]) -> "Group":
        """Return its runs of these seeds."""
        wanted = set(seeds)
        kept = [place for place, seed in enumerate(self.seeds) if seed in wanted]
        records, scores = [self.records[place] for place in kept], [self.scores[place] for place in kept]
        return replace(self, records=records, scores=scores)

    @property
    def has_accuracy(self) -> bool:
        """True if the task has classes."""
        return all(score.test_accuracy is not None for score in self.scores)

    @property
    def final_lr(self) -> float:
        """Mean learning rate of the last epoch, over the runs that reached it (over all, if none did)."""
        return statistics.fmean(record.last.lr for record in self._complete)

    @property
    def mean_lr(self) -> float:
        """Mean learning rate of all recorded epochs of the same runs."""
        return statistics.fmean(epoch.lr for record in self._complete for epoch in record.epochs)

    @property
    def cycles_momentum(self) -> bool:
        """True if the schedule changes the momentum, too."""
        return bool(getattr(self.run.schedule, "cycle_momentum", False))

    @property
    def _complete(self) -> list[Record]:
        return [record for record in self.records if record.last.epoch == record.run.epochs] or self.records

    def count(self, outcome: str) -> int:
        """Number of runs with an outcome. Every run counts in every mean: survivors alone would flatter a scheduler."""
        return sum(record.outcome == outcome for record in self.records)

    @property
    def curves(self) -> list[LearningCurve]:
        """The learning curve of each run."""
        return [learning_curve(record) for record in self.records]

    @property
    def usual_curve(self) -> str:
        """The most common verdict on the learning curves, and its share: `converged 4/5`."""
        (verdict, count), *_ = Counter(curve.verdict for curve in self.curves).most_common(1)
        return f"{verdict} {count}/{len(self.records)}" if len(self.records) > 1 else str(self.curves[0])


def grouped(results: Iterable[tuple[Record, Score]]) -> list[Group]:
    """Return the groups of a sweep in its order."""
    groups: dict[str, Group] = {}
    for record, score in results:
        group = groups.setdefault(record.run.group, Group(record.run.group, [], []))
        group.records.append(record)
        group.scores.append(score)
    return list(groups.values())


def figures(groups: Sequence[Group], metric: Metric) -> Figures:
    """Return the figures of groups, shape (groups, seeds): higher is better, and a column holds one seed.

    Accuracies are as they are; of a loss it is minus the logarithm, so that differences are ratios of losses. A run
    whose loss is not finite counts with the highest loss of any of these runs. After a group's last seed stands NaN.

    Raises:
        UserError: a loss is below 0, and has no logarithm.
    """
    owners = Counter(seed for group in groups for seed in group.seeds)
    order = sorted(owners, key=lambda seed: -owners[seed])  # what all have in common comes first
    rows = []
    for group in groups:
        of_seed = dict(zip(group.seeds, group.figures(metric), strict=True))
        shared = next((place for place, seed in enumerate(order) if seed not in of_seed), len(order))
        rows.append([of_seed[seed] for seed in order[:shared]])
    values = replace_diverged(np.concatenate([np.asarray(row, float) for row in rows]))
    values = np.nan_to_num(values, nan=1.0, posinf=1.0)  # all have diverged, and are alike
    if metric == "test_loss":
        if (values < 0).any():
            raise UserError("metric: a test loss below 0 cannot be compared in per cent; allowed: test_accuracy")
        values = -np.log(np.maximum(values, LEAST_LOSS))
    found = np.full((len(rows), max(map(len, rows))), np.nan)
    end = np.cumsum([len(row) for row in rows])
    for row, part in enumerate(np.split(values, end[:-1])):
        found[row, : len(part)] = part
    return found


def held(figures: Figures) -> list[int]:
    """Return how many seeds each row has."""
    return [int(count) for count in np.isfinite(figures).sum(1)]


def ranked(groups: Sequence[Group], metric: Metric) -> list[Group]:
    """Return the groups by their mean of the metric, best first and NaN last; ties keep their order."""
    sign = -1 if metric == "test_accuracy" else 1

    def key(group: Group) -> float:
        mean = statistics.fmean(group.figures(metric))
        return math.inf if math.isnan(mean) else sign * mean

    return sorted(groups, key=key)


def best_runs(records: Iterable[Record]) -> list[Record]:
    """Return the run of each group with the lowest final validation loss; finished runs come before failed ones."""
    best: dict[str, Record] = {}
    for record in records:
        rival = best.setdefault(record.run.group, record)
        if _validation_rank(record) < _validation_rank(rival):
            best[record.run.group] = record
    return list(best.values())


def _validation_rank(record: Record) -> tuple[int, float]:
    return OUTCOMES.index(record.outcome), record.last.val_loss


def is_grid(runs: Iterable[Run]) -> bool:
    """Return True if a scheduler is trained at several base LRs."""
    groups = {run.group: run.method for run in runs}
    return len(set(groups.values())) < len(groups)


def own_rates(records: Iterable[Record]) -> list[str]:
    """Return the name of one group for each scheduler and optimizer: at the base LR that validates best."""
    by_group: dict[str, list[Record]] = {}
    for record in records:
        by_group.setdefault(record.run.group, []).append(record)
    by_method: dict[tuple[str, str], list[str]] = {}
    for name, those in by_group.items():
        by_method.setdefault(those[0].run.method, []).append(name)
    return [min(names, key=lambda name: _mean_validation(by_group[name])) for names in by_method.values()]


def best_of_each(records: Sequence[Record], is_auto: bool) -> list[Record]:
    """Return the best run of each scheduler and optimizer, at its own base LR; validation chooses both."""
    tuning = [record for record in records if record.run.seed in FIRST_SEEDS] if is_auto else records
    own = own_rates(tuning or records)
    return best_runs(record for record in records if record.run.group in own)


def at_own_best(groups: Sequence[Group]) -> list[Group]:
    """Return, for each scheduler and optimizer, the group at the base LR that validates best."""
    names = own_rates(record for group in groups for record in group.records)
    return [group for group in groups if group.name in names]


def _mean_validation(records: Sequence[Record]) -> tuple[int, float]:
    """Return the sort key that chooses a base LR: few failed runs, then a low mean of the final validation losses."""
    failed = sum(record.outcome != "finished" for record in records)
    loss = statistics.fmean(record.last.val_loss for record in records)
    return failed, math.inf if math.isnan(loss) else loss


@dataclass(frozen=True)
class Sweep:
    """The groups of a sweep, and what is compared in it."""

    groups: list[Group]
    """All: each scheduler and optimizer at each base LR."""
    tuning: list[Group]
    """The runs by which base LRs are chosen; those of `seeds: auto` serve for nothing else but the comparison at one
    common rate."""
    arms: list[Group]
    """One group for each scheduler and optimizer, at its own base LR: the runs by which they are compared."""


def sweep(groups: Sequence[Group], is_auto: bool) -> Sweep:
    """Return what is compared in a sweep; with `seeds: auto`, the first ten seeds choose the base LRs of a grid."""
    if not is_auto or not is_grid(group.run for group in groups):
        return Sweep(list(groups), list(groups), at_own_best(groups))
    tuning = [group.of(FIRST_SEEDS) for group in groups]
    own = at_own_best(tuning)
    of_name = {group.name: group for group in groups}
    arms = [of_name[group.name].of(set(of_name[group.name].seeds) - set(FIRST_SEEDS)) for group in own]
    return Sweep(list(groups), tuning, arms)
