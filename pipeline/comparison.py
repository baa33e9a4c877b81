"""What the runs of a sweep say together. No I/O."""

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from pipeline.analysis import LearningCurve, learning_curve
from pipeline.records import Record, Score

LEVEL = 0.95
"""How sure an interval is."""
ORDER = ("finished", "dead", "diverged")
"""Of outcomes, the best first."""


@dataclass(frozen=True)
class Group:
    """The runs of a sweep that differ in nothing but the seed."""

    name: str
    records: list[Record]
    scores: list[Score]

    @property
    def metric(self) -> Literal["test_accuracy", "test_loss"]:
        """What the group is ranked by: accuracy where there are classes."""
        return "test_loss" if any(score.test_accuracy is None for score in self.scores) else "test_accuracy"

    @property
    def figures(self) -> list[float]:
        """The metric of each seed."""
        return [getattr(score, self.metric) for score in self.scores]

    @property
    def losses(self) -> list[float]:
        """Test loss of each seed; not a number where it diverged."""
        return [score.test_loss for score in self.scores]

    @property
    def final_lr(self) -> float:
        """The mean of the rates that the runs ended with; of those that went to their end, if there are any."""
        whole = [record for record in self.records if record.last.epoch == record.run.epochs]
        return statistics.fmean(record.last.lr for record in whole or self.records)

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


def ranked(groups: Sequence[Group]) -> list[Group]:
    """Best mean of the metric first, no number last; of equals, the one that comes first in the sweep."""

    def key(group: Group) -> float:
        mean = statistics.fmean(group.figures)
        return math.inf if math.isnan(mean) else mean if group.metric == "test_loss" else -mean

    return sorted(groups, key=key)


def spread(figures: Sequence[float]) -> float:
    """The standard deviation over seeds; not a number for one seed, or where a run diverged."""
    known = len(figures) > 1 and all(map(math.isfinite, figures))
    return statistics.stdev(figures) if known else math.nan


@dataclass(frozen=True)
class Difference:
    """How much higher the metric of one group is than that of another with the same seeds."""

    mean: float
    margin: float
    """Half of the 95% interval of Student's t for the mean of the paired differences."""


def difference(group: Group, other: Group) -> Difference:
    """The mean of the differences of each seed, and how sure it is; not a number where a run diverged or is single."""
    from scipy import stats

    pairs = [one - two for one, two in zip(group.figures, other.figures, strict=True)]
    quantile = stats.t.ppf((1 + LEVEL) / 2, len(pairs) - 1) if len(pairs) > 1 else math.nan
    return Difference(statistics.fmean(pairs), float(quantile) * spread(pairs) / math.sqrt(len(pairs)))


def baselines(groups: Sequence[Group], baseline: str) -> dict[str, Group]:
    """For each group, by name, the one with the baseline scheduler that is like it in all else, if there is one."""

    def but_the_scheduler(group: Group) -> str:
        return group.name.removeprefix(group.records[0].run.scheduler)

    those = {but_the_scheduler(group): group for group in groups if group.records[0].run.scheduler == baseline}
    found = {group.name: those.get(but_the_scheduler(group)) for group in groups if group not in those.values()}
    return {name: other for name, other in found.items() if other is not None}
