"""Tables for the secondary questions: how schedulers compare at a common base LR, and how optimizers compare."""

import math
from dataclasses import dataclass

from pipeline.comparison.groups import Group, ranked
from pipeline.comparison.questions import Comparison, Question
from pipeline.report.phrases import name
from pipeline.report.wording import question_result


@dataclass(frozen=True)
class Row:
    """A row of a table, with a group and its comparison; a reference row has no comparison."""

    name: str
    group: Group
    comparison: Comparison | None
    verdict: str
    """The verdict of the comparison; `baseline` or `reference` in a reference row."""


@dataclass(frozen=True)
class QuestionTable:
    """The answer to a question, as a sentence and as a table whose cells draw the intervals."""

    question: Question
    sentence: str
    rows: list[Row]
    left: float
    """The smallest difference that the cells show."""
    right: float
    """The largest difference that the cells show."""

    def position(self, difference: float) -> float:
        """Return where to draw a difference in its cell, in per cent of the width; better is further to the right."""
        return 4 + 92 * (difference - self.left) / (self.right - self.left)  # 4% of padding on either side

    @property
    def has_rates(self) -> bool:
        """True if base LRs differ, so the table needs a column for them."""
        return len({row.group.run.lr for row in self.rows}) > 1


def table(question: Question) -> QuestionTable:
    """Return the table for a question, with rows sorted by mean, best first."""
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
