"""The report: report.html, which needs no other file, and report.md."""

import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from pipeline.comparison import advice, phrases, wording
from pipeline.comparison.groups import HIGHER_IS_BETTER, Group, at_own_best, ranked
from pipeline.comparison.questions import Comparison, Question, final_lr_effect
from pipeline.comparison.statistics import standard_deviation
from pipeline.files import write_text
from pipeline.params import Metric
from pipeline.report.cards import cards
from pipeline.report.source import Source
from pipeline.report.style import colours, inline


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
    metric: Metric
    low: float = math.nan
    middle: float = math.nan
    high: float = math.nan

    @property
    def mean(self) -> str:
        """Mean and standard deviation of the metric; empty if they are NaN."""
        figures = self.group.figures(self.metric)
        scale, digits = (100, 2) if self.metric == "test_accuracy" else (1, 4)
        mean, deviation = (scale * each for each in (statistics.fmean(figures), standard_deviation(figures)))
        text = _formatted(mean, f".{digits}f")
        return text + (f" ± {deviation:.{digits}f}" if math.isfinite(deviation) else "")

    @property
    def difference(self) -> str:
        """Mean difference; empty for a reference, or if it is NaN."""
        if self.comparison is None or math.isnan(self.comparison.test.mean):
            return ""
        return phrases.number(self.comparison.test.mean, self.metric, signed=True)

    @property
    def interval(self) -> str:
        """Interval of the difference; empty for a reference."""
        return phrases.interval(self.comparison) if self.comparison else ""

    @property
    def seeds_needed(self) -> str:
        """Seeds that would resolve the difference, or that those at hand are enough."""
        if self.comparison is None:
            return ""
        return str(self.comparison.seeds_needed or "") if self.verdict == "not resolved" else "enough"

    @property
    def wins(self) -> str:
        """Share of pairs of runs that the group wins."""
        return _formatted(self.comparison.wins, ".0%") if self.comparison else ""

    @property
    def p(self) -> str:
        """Adjusted p-value."""
        return _formatted(self.comparison.test.adjusted, ".2g") if self.comparison else ""

    @property
    def effect(self) -> str:
        """Hedges' g."""
        return _formatted(self.comparison.test.effect, "+.2f") if self.comparison else ""

    @property
    def failures(self) -> str:
        """Number of runs that diverged or died; empty if none did."""
        counts = {outcome: self.group.count(outcome) for outcome in ("diverged", "dead")}
        return ", ".join(f"{count} of {len(self.group.records)} {word}" for word, count in counts.items() if count)


def _formatted(figure: float, how: str) -> str:
    return format(figure, how) if math.isfinite(figure) else ""


@dataclass(frozen=True)
class Table:
    """The answer to a question."""

    question: Question
    sentences: tuple[str, str]
    rows: list[Row]
    zero: float
    """Position of a difference of 0 in the picture of all differences, in percent of its width."""
    has_rates: bool
    """True if base LRs differ, so that the table has to give them."""


def write(
    folder: Path,
    groups: Sequence[Group],
    questions: Sequence[Question],
    metric: Metric,
    figures: Mapping[str, Figure],
    source: Source,
) -> None:
    """Write report.html and report.md.

    Args:
        folder: where `figures.write` has put the pictures that report.md shows.
        groups: all of the sweep.
        questions: answered.
        metric: by which groups are compared.
        figures: that `figures.write` has returned.
        source: how to reproduce the report.
    """
    best = ranked(at_own_best(groups), metric)
    content = {
        "source": source,
        "metric": "test accuracy (%)" if metric == "test_accuracy" else "test loss",
        "column": "accuracy (%)" if metric == "test_accuracy" else "loss",
        "is_accuracy": metric == "test_accuracy",
        "sides": ("worse", "better") if HIGHER_IS_BETTER[metric] else ("better", "worse"),
        "groups": best,
        "tables": [_table(question, metric) for question in questions],
        "ranking": [Row(group.name, group, None, "", metric) for group in ranked(groups, metric)],
        "nothing": "" if questions else wording.nothing_to_compare(groups, source.baseline),
        "setup": wording.setup(groups),
        "best": wording.best_mean(groups, metric) if len(questions) > 1 else "",
        "notes": advice.notes(groups, questions, final_lr_effect(questions[0])) if questions else [],
        "has_grid": "sensitivity" in figures,
        "is_asked_twice": len({question.at for question in questions}) > 1,
        "known": math.isfinite,
    }
    pictures = {
        "cards": cards(best, colours(groups, questions)),
        "sensitivity": inline(figures["sensitivity"]) if "sensitivity" in figures else "",
        "weights": inline(figures["parameters"]),
    }
    _render("report.html.j2", folder / "report.html", content | pictures)
    _render("report.md.j2", folder / "report.md", content)


def _render(template: str, path: Path, content: Mapping[str, Any]) -> None:
    environment = Environment(
        loader=PackageLoader("pipeline.report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=path.suffix == ".html",
    )
    environment.filters["code"] = _code
    write_text(path, environment.get_template(template).render(content))


def _code(text: str) -> Markup:
    """Escape text for HTML and turn its backticks into code."""
    return Markup(re.sub("`(.*?)`", r"<code>\1</code>", str(escape(text))))


def _table(question: Question, metric: Metric) -> Table:
    tests = [each.test for each in question.comparisons]
    ends = [0.0, *(end for test in tests for end in (test.low, test.mean, test.high) if math.isfinite(end))]
    left, width = min(ends), (max(ends) - min(ends)) or 1.0

    def position(value: float) -> float:
        return 4 + 92 * (value - left) / width  # 4% of margin on either side

    rows = [
        Row(
            phrases.name(each.group, question),
            each.group,
            each,
            each.verdict,
            metric,
            *map(position, (test.low, test.mean, test.high)),
        )
        for each, test in zip(question.comparisons, tests, strict=True)
    ]
    references = {each.other.name: each.other for each in question.comparisons}
    called = "baseline" if question.subject == "scheduler" else "reference"
    rows += [Row(phrases.name(other, question), other, None, called, metric) for other in references.values()]
    ranks = {group.name: rank for rank, group in enumerate(ranked([row.group for row in rows], metric))}
    return Table(
        question,
        wording.sentences(question),
        sorted(rows, key=lambda row: ranks[row.group.name]),
        position(0.0),
        has_rates=len({row.group.run.lr for row in rows}) > 1,
    )
