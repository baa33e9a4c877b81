"""What the runs of a sweep say together. No I/O."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.records import Record, Score


@dataclass(frozen=True)
class Group:
    """The runs of a sweep that differ in nothing but the seed."""

    name: str
    records: list[Record]
    scores: list[Score]

    @property
    def accuracies(self) -> list[float]:
        """Test accuracy of each seed."""
        return [score.test_accuracy for score in self.scores]

    @property
    def losses(self) -> list[float]:
        """Test loss of each seed; not a number where it diverged."""
        return [score.test_loss for score in self.scores]

    @property
    def diverged(self) -> int:
        """How many of the runs diverged. They count in every mean: a scheduler is not judged by its survivors."""
        return sum(record.outcome == "diverged" for record in self.records)


def best_runs(records: Iterable[Record]) -> list[Record]:
    """Of each group the run that ended with the lowest validation loss; a diverged run only where all diverged."""
    best: dict[str, Record] = {}
    for record in records:
        held = best.setdefault(record.run.group, record)
        if (record.outcome == "diverged", record.last.val_loss) < (held.outcome == "diverged", held.last.val_loss):
            best[record.run.group] = record
    return list(best.values())


def grouped(results: Sequence[tuple[Record, Score]]) -> list[Group]:
    """The groups of a sweep, in its order."""
    groups: dict[str, Group] = {}
    for record, score in results:
        group = groups.setdefault(record.run.group, Group(record.run.group, [], []))
        group.records.append(record)
        group.scores.append(score)
    return list(groups.values())


def ranked(groups: Sequence[Group]) -> list[Group]:
    """Best mean test accuracy first; of equals, the one that comes first in the sweep."""
    return sorted(groups, key=lambda group: -statistics.fmean(group.accuracies))


def spread(figures: Sequence[float]) -> float:
    """The standard deviation over seeds; not a number for one seed, or where a run diverged."""
    known = len(figures) > 1 and all(map(math.isfinite, figures))
    return statistics.stdev(figures) if known else math.nan
