"""The tables of questions other than the first: schedulers at one common base LR, and optimizers. No I/O."""

import math
from dataclasses import dataclass

from pipeline.comparison.groups import Group, ranked
from pipeline.comparison.questions import Comparison, Question
from pipeline.report.phrases import name
from pipeline.report.wording import sentences


@dataclass(frozen=True)
class Row:
    """A row of a table: a group, and its comparison; None for a reference."""

    name: str
    group: Group
    comparison: Comparison | None
    verdict: str
    """The verdict of the comparison; `baseline` or `reference` for a reference."""


@dataclass(frozen=True)
class QuestionTable:
    """The answer to a question: sentences, and a table whose cells draw the intervals."""

    question: Question
    sentences: str
    rows: list[Row]
    left: float
    """The smallest difference in the picture of all intervals."""
    right: float
    """The largest."""

    def position(self, difference: float) -> float:
        """Return where a difference is in the picture, in per cent of its width; better is to the right."""
        return 4 + 92 * (difference - self.left) / (self.right - self.left)  # 4% of room on either side

    @property
    def has_rates(self) -> bool:
        """True if base LRs differ, so that the table has to give them."""
        return len({row.group.run.lr for row in self.rows}) > 1


def table(question: Question) -> QuestionTable:
    """Return the table of a question, the best mean first."""
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
    return QuestionTable(question, sentences(question), rows, min(ends), max(ends))
