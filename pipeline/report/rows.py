"""The tables of questions other than the first: schedulers at one common base LR, and optimizers. No I/O."""

import math
from dataclasses import dataclass

from pipeline.comparison.groups import Group, ranked
from pipeline.comparison.questions import Comparison, Question
from pipeline.report import arms, phrases, wording


@dataclass(frozen=True)
class Row:
    """A row of a table: a group, and its comparison, which a reference lacks.

    `low`, `middle` and `high` are the positions of the interval and the mean difference in the picture of all
    differences, in percent of its width; NaN if they are not known.
    """

    name: str
    group: Group
    comparison: Comparison | None
    verdict: str
    """The verdict of the comparison, or what a reference is called."""
    mean: str
    low: float = math.nan
    middle: float = math.nan
    high: float = math.nan

    @property
    def difference(self) -> str:
        """Mean difference; empty for a reference."""
        return phrases.number(self.comparison.gain, self.comparison.metric) if self.comparison else ""

    @property
    def interval(self) -> str:
        """Interval of the difference; empty for a reference."""
        return arms.interval(self.comparison)

    @property
    def failures(self) -> str:
        """Number of runs that diverged or died; empty if none did."""
        return arms.failures(self.group)


@dataclass(frozen=True)
class Table:
    """The answer to a question."""

    question: Question
    sentences: str
    rows: list[Row]
    zero: float
    """Position of a difference of 0 in the picture of all differences, in percent of its width."""
    band: tuple[float, float]
    """Positions of the margin on either side of it."""
    has_rates: bool
    """True if base LRs differ, so that the table has to give them."""
    seeds: int
    """The fewest that any comparison rests on."""

    @property
    def is_provisional(self) -> bool:
        """True if more seeds may change its verdicts."""
        return any(each.is_provisional for each in self.question.comparisons)


def table(question: Question) -> Table:
    """Return the table of a question; to the right is better."""
    comparisons, scale = question.comparisons, question.comparisons[0].scale
    ends = [end for each in comparisons for end in (each.low, each.gain, each.high) if math.isfinite(end)]
    ends += [-scale.margin, scale.margin]
    left, width = min(ends), max(ends) - min(ends)

    def position(value: float) -> float:
        return 4 + 92 * (value - left) / width  # 4% of room on either side

    def row(group: Group, comparison: Comparison | None, verdict: str, *positions: float) -> Row:
        mean = arms.mean(group, scale.metric)
        return Row(phrases.name(group, question), group, comparison, verdict, mean, *positions)

    rows = [row(each.group, each, each.verdict, *map(position, (each.low, each.gain, each.high)))
            for each in comparisons]  # fmt: skip
    called = "baseline" if question.subject == "scheduler" else "reference"
    rows += [row(other, None, called) for other in {each.other.name: each.other for each in comparisons}.values()]
    ranks = {group.name: rank for rank, group in enumerate(ranked([each.group for each in rows], scale.metric))}
    return Table(
        question,
        wording.sentences(question),
        sorted(rows, key=lambda each: ranks[each.group.name]),
        position(0.0),
        (position(-scale.margin), position(scale.margin)),
        has_rates=len({each.group.run.lr for each in rows}) > 1,
        seeds=min(each.seeds for each in comparisons),
    )
