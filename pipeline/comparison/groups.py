"""The groups of a sweep: the runs that differ in nothing but the seed. No I/O."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.comparison.learning_curves import LearningCurve, learning_curve
from pipeline.params import Metric, Run
from pipeline.records import Record, Score

HIGHER_IS_BETTER: dict[Metric, bool] = {"test_accuracy": True, "test_loss": False}
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
        return self.run.scheduler, self.run.optimizer

    @property
    def seeds(self) -> list[int]:
        """The seed of each run."""
        return [record.run.seed for record in self.records]

    def figures(self, metric: Metric) -> list[float]:
        """The metric of each run; the loss of a diverged run is NaN."""
        return [getattr(score, metric) for score in self.scores]

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


def ranked(groups: Sequence[Group], metric: Metric) -> list[Group]:
    """Return the groups by their mean of the metric, best first and NaN last; ties keep their order."""
    sign = -1 if HIGHER_IS_BETTER[metric] else 1

    def key(group: Group) -> float:
        mean = statistics.fmean(group.figures(metric))
        return math.inf if math.isnan(mean) else sign * mean

    return sorted(groups, key=key)


def best_runs(records: Iterable[Record]) -> list[Record]:
    """Return the run of each group with the lowest final validation loss; finished runs come before failed ones."""
    best: dict[str, Record] = {}
    for record in records:
        held = best.setdefault(record.run.group, record)
        if _validation_rank(record) < _validation_rank(held):
            best[record.run.group] = record
    return list(best.values())


def _validation_rank(record: Record) -> tuple[int, float]:
    return OUTCOMES.index(record.outcome), record.last.val_loss


def is_grid(groups: Sequence[Group]) -> bool:
    """Return True if a scheduler was trained at several base LRs."""
    return len({group.method for group in groups}) < len(groups)


def at_own_best(groups: Sequence[Group]) -> list[Group]:
    """Return, for each scheduler and optimizer, the group at the base LR with the best validation loss."""
    by_method: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        by_method.setdefault(group.method, []).append(group)
    return [min(those, key=_mean_validation) for those in by_method.values()]


def _mean_validation(group: Group) -> tuple[int, float]:
    """Return the sort key that chooses a base LR: few failed runs, then a low mean of the final validation losses."""
    loss = statistics.fmean(record.last.val_loss for record in group.records)
    return len(group.records) - group.count("finished"), math.inf if math.isnan(loss) else loss
