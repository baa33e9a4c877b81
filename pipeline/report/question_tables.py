"""Tables for the secondary questions: how schedulers compare at a common base LR, and how optimizers compare."""

import math
from dataclasses import dataclass

from pipeline.comparison.groups import Group, ranked
from pipeline.comparison.questions import Comparison, Question
from pipeline.report.phrases import name
from pipeline.report.wording import question_result


@dataclass(frozen=True)
class Row:
    """A row of a table, with a group and its comparison.

    For a group that others are compared with, the comparison is None.
    """

    name: str
    group: Group
    comparison: Comparison | None
    verdict: str
    """The verdict of the comparison; in a row without a comparison, `baseline` or `reference`."""


@dataclass(frozen=True)
class QuestionTable:
    """The answer to a question: a sentence, and a table with small drawings of the intervals."""

    question: Question
    sentence: str
    rows: list[Row]
    left: float
    """The difference at the left end of the scale on which the intervals are drawn."""
    right: float
    """The difference at the right end of the scale on which the intervals are drawn."""

    def position(self, difference: float) -> float:
        """Return how far from the left of its table cell a difference is drawn, in per cent of the cell's width."""
        return 4 + 92 * (difference - self.left) / (self.right - self.left)  # 4% of padding on each side

    @property
    def has_rates(self) -> bool:
        """True if the base LRs of the rows differ, so the table needs a column for base LRs."""
        return len({row.group.run.lr for row in self.rows}) > 1


def table(question: Question) -> QuestionTable:
    """Return the table for a question, with the rows sorted by mean, best first."""
    comparisons, scale = question.comparisons, question.scale
    ends = [-scale.margin, scale.margin]
    for comparison in comparisons:
        ends += filter(math.isfinite, (comparison.low, comparison.gain, comparison.high))
    rows = [
        Row(name(comparison.group, question), comparison.group, comparison, comparison.verdict)
        for comparison in comparisons
    ]
    title = "baseline" if question.subject == "scheduler" else "reference"
    references = {comparison.other.name: comparison.other for comparison in comparisons}
    rows += [Row(name(group, question), group, None, title) for group in references.values()]
    ranks = {group.name: rank for rank, group in enumerate(ranked([row.group for row in rows], scale.metric))}
    rows.sort(key=lambda row: ranks[row.group.name])
    return QuestionTable(question, question_result(question), rows, min(ends), max(ends))
