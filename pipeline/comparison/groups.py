"""Groups the runs of a sweep. Runs in the same group differ only in the seed. No I/O."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.comparison.anytime import FloatArray
from pipeline.comparison.learning_curves import LearningCurve, learning_curve
from pipeline.comparison.statistics import replace_diverged
from pipeline.errors import UserError
from pipeline.runs.metric import Figures, Metric
from pipeline.runs.params import FIRST_SEEDS, Run
from pipeline.runs.records import Record

LEAST_FIGURE = 1e-12
"""Figures below this value are raised to it before their logarithms are taken."""
OUTCOMES = ("finished", "dead", "diverged")
"""The outcomes of a run, from best to worst."""


@dataclass(frozen=True)
class Group:
    """Runs of a sweep that differ only in the seed."""

    name: str
    records: list[Record]
    test_figures: list[Figures]
    """The test figures of each run, in the order of `records`."""

    @property
    def run(self) -> Run:
        """The first run of the group; the other runs differ from it only in the seed."""
        return self.records[0].run

    @property
    def method(self) -> tuple[str, str]:
        """The scheduler and the optimizer. Groups with the same method differ only in the base LR."""
        return self.run.method

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [record.run.seed for record in self.records]

    def figures(self, metric: Metric) -> list[float]:
        """Return the metric of each run. A missing metric is NaN, and so is the loss of a diverged run."""
        return [figures.get(metric.name, math.nan) for figures in self.test_figures]

    def mean(self, metric: Metric) -> float:
        """Return the mean of the metric over all runs, including failed runs.

        The mean is NaN if the metric of at least one run is NaN.
        """
        return statistics.fmean(self.figures(metric))

    def means(self) -> dict[str, float]:
        """Return the mean of every figure that all runs have, keyed by the figure's name."""
        names = [name for name in self.test_figures[0] if all(name in figures for figures in self.test_figures)]
        return {name: statistics.fmean(figures[name] for figures in self.test_figures) for name in names}

    def with_seeds(self, seeds: Iterable[int]) -> "Group":
        """Return a copy of the group with only the runs that have the given seeds."""
        wanted = set(seeds)
        places = [place for place, seed in enumerate(self.seeds) if seed in wanted]
        records, figures = [self.records[place] for place in places], [self.test_figures[place] for place in places]
        return replace(self, records=records, test_figures=figures)

    @property
    def final_lr(self) -> float:
        """The mean of the runs' final learning rates. Incomplete runs are included only if no run is complete."""
        return statistics.fmean(record.last.lr for record in self._complete)

    @property
    def mean_lr(self) -> float:
        """The mean learning rate over all recorded epochs of the runs that `final_lr` uses."""
        return statistics.fmean(epoch.lr for record in self._complete for epoch in record.epochs)

    @property
    def cycles_momentum(self) -> bool:
        """True if the schedule also changes the momentum."""
        return bool(getattr(self.run.schedule, "cycle_momentum", False))

    @property
    def _complete(self) -> list[Record]:
        return [record for record in self.records if record.last.epoch == record.run.epochs] or self.records

    def count(self, outcome: str) -> int:
        """Return the number of runs that have the given outcome."""
        return sum(record.outcome == outcome for record in self.records)

    @property
    def curves(self) -> list[LearningCurve]:
        """The verdict on the learning curve of each run."""
        return [learning_curve(record) for record in self.records]

    @property
    def usual_curve(self) -> str:
        """The most common verdict on the learning curves, and how many runs have it, as in `converged 4/5`."""
        (verdict, count), *_ = Counter(curve.verdict for curve in self.curves).most_common(1)
        return f"{verdict} {count}/{len(self.records)}" if len(self.records) > 1 else str(self.curves[0])


def grouped(results: Iterable[tuple[Record, Figures]]) -> list[Group]:
    """Return the groups of a sweep in the order of its runs; ``results`` pairs each run with its test figures."""
    groups: dict[str, Group] = {}
    for record, figures in results:
        group = groups.setdefault(record.run.group, Group(record.run.group, [], []))
        group.records.append(record)
        group.test_figures.append(figures)
    return list(groups.values())


def comparable_figures(groups: Sequence[Group], metric: Metric) -> FloatArray:
    """Return the figures of groups as an array of shape (groups, seeds), in which higher is better.

    Each column holds the figures of one seed, and a row is NaN after the group's last seed. Shares, such as accuracies,
    stay as they are. Other figures are replaced with their logarithms, so a difference stands for a ratio. If lower
    figures are better, the sign is reversed. A figure that is not finite is replaced with the worst figure of all
    groups.

    Raises:
        UserError: a figure is below 0, so it has no logarithm.
    """
    owners = Counter(seed for group in groups for seed in group.seeds)
    order = sorted(owners, key=lambda seed: -owners[seed])  # the seeds that all groups share come first
    rows = []
    for group in groups:
        of_seed = dict(zip(group.seeds, group.figures(metric), strict=True))
        count = next((place for place, seed in enumerate(order) if seed not in of_seed), len(order))
        rows.append([of_seed[seed] for seed in order[:count]])
    values = np.concatenate([np.asarray(row, float) for row in rows])
    values[~np.isfinite(values)] = np.nan
    if not metric.is_share:
        if (values < 0).any():
            raise UserError(f"metric: a {metric.title} below 0 cannot be compared in per cent; allowed: test_accuracy")
        values = np.log(np.maximum(values, LEAST_FIGURE))
    values = replace_diverged(metric.sign * values)
    figures = np.full((len(rows), max(map(len, rows))), np.nan)
    ends = np.cumsum([len(row) for row in rows])
    for row, part in enumerate(np.split(values, ends[:-1])):
        figures[row, : len(part)] = part
    return figures


def seed_counts(figures: FloatArray) -> list[int]:
    """Return the number of seeds in each row of `comparable_figures`."""
    return [int(count) for count in np.isfinite(figures).sum(1)]


def ranked(groups: Sequence[Group], metric: Metric) -> list[Group]:
    """Return the groups sorted by the mean of the metric, best first and NaN last. Tied groups keep their order."""

    def key(group: Group) -> float:
        mean = group.mean(metric)
        return math.inf if math.isnan(mean) else -metric.sign * mean

    return sorted(groups, key=key)


def final_val_loss(record: Record) -> float:
    """Return the validation loss of a run's last epoch. Base LRs and best runs are chosen by this loss."""
    return record.last.figures["val_loss"]


def is_grid(runs: Iterable[Run]) -> bool:
    """Return True if at least one scheduler is trained at several base LRs with the same optimizer."""
    groups = {run.group: run.method for run in runs}
    return len(set(groups.values())) < len(groups)


def own_rates(records: Iterable[Record]) -> list[str]:
    """For each pair of scheduler and optimizer, return the name of the group at the best base LR.

    The best base LR is the one with the fewest failed runs. Ties are broken by the lowest mean final validation loss.
    """
    by_group: dict[str, list[Record]] = {}
    for record in records:
        by_group.setdefault(record.run.group, []).append(record)
    by_method: dict[tuple[str, str], list[str]] = {}
    for name, members in by_group.items():
        by_method.setdefault(members[0].run.method, []).append(name)
    return [min(names, key=lambda name: _mean_validation(by_group[name])) for names in by_method.values()]


def best_of_each(records: Sequence[Record], is_auto: bool) -> list[Record]:
    """Return the best run of each pair of scheduler and optimizer, at the base LR that `own_rates` chooses.

    The best run has the lowest final validation loss. A failed run is chosen only if all runs at this base LR failed.
    """
    tuning = [record for record in records if record.run.seed in FIRST_SEEDS] if is_auto else records
    own = own_rates(tuning or records)
    candidates = [[record for record in records if record.run.group == group] for group in own]
    return [min(runs, key=lambda run: (OUTCOMES.index(run.outcome), final_val_loss(run))) for runs in candidates]


def at_own_best(groups: Sequence[Group]) -> list[Group]:
    """For each pair of scheduler and optimizer, return the group at the base LR that `own_rates` chooses."""
    names = own_rates(record for group in groups for record in group.records)
    return [group for group in groups if group.name in names]


def _mean_validation(records: Sequence[Record]) -> tuple[int, float]:
    """Return the sort key of a base LR: the number of failed runs, then the mean final validation loss."""
    failed = sum(record.outcome != "finished" for record in records)
    loss = statistics.fmean(map(final_val_loss, records))
    return failed, math.inf if math.isnan(loss) else loss


@dataclass(frozen=True)
class SweepGroups:
    """All groups of a sweep, the groups used to choose base LRs, and the groups to compare."""

    groups: list[Group]
    """All groups: one for each combination of scheduler, optimizer and base LR."""
    tuning: list[Group]
    """The groups used to choose base LRs.

    In a race with several base LRs, the only comparisons between these groups are those at a common base LR.
    """
    arms: list[Group]
    """The groups to compare: one for each pair of scheduler and optimizer, at the base LR chosen for that pair."""


def sweep_groups(groups: Sequence[Group], is_auto: bool) -> SweepGroups:
    """Return all groups of a sweep, the groups used to choose base LRs, and the groups to compare.

    If a race has several base LRs, the runs with the first ten seeds are used to choose base LRs and are left out of
    `arms`.
    """
    if not is_auto or not is_grid(group.run for group in groups):
        return SweepGroups(list(groups), list(groups), at_own_best(groups))
    tuning = [group.with_seeds(FIRST_SEEDS) for group in groups]
    own = {group.name for group in at_own_best(tuning)}
    arms = [group.with_seeds({*group.seeds} - {*FIRST_SEEDS}) for group in groups if group.name in own]
    return SweepGroups(list(groups), tuning, arms)
