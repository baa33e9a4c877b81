"""The report: results/report.html, which needs nothing beside it, and results/report.md."""

import math
import platform
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from pipeline.comparison import wording as verdict
from pipeline.comparison.questions import (
    HIGHER_IS_BETTER,
    Comparison,
    Group,
    Question,
    at_own_best,
    final_lr_effect,
    ranked,
)
from pipeline.files import write_text
from pipeline.params import Metric
from pipeline.report import figures as pictures

PACKAGES = ("lr-schedules", "torch", "numpy", "scipy", "mlflow", "dvc")
"""Whose versions the report gives."""


@dataclass(frozen=True)
class Source:
    """Where results come from: what one needs to have them again."""

    task: str
    about: str
    """Model, data and budget, in one line."""
    commit: str
    """Of git; with a word where there are changes that are not committed. Empty outside of git."""
    params: str
    """params.yaml as it was."""
    baseline: str
    """What schedulers are compared with, if it is in the sweep."""


@dataclass(frozen=True)
class Row:
    """A line of a table: a group, and what it is compared with, if it is."""

    name: str
    group: Group
    found: Comparison | None
    metric: Metric
    low: float
    """Where the interval begins in the picture of all differences, in percent of its width; and so on."""
    middle: float
    high: float

    @property
    def verdict(self) -> str:
        """The word, or what else it is."""
        return self.found.verdict if self.found else "baseline"

    @property
    def mean(self) -> str:
        """The metric's mean and standard deviation."""
        figures = self.group.of(self.metric)
        scale = 100 if self.metric == "test_accuracy" else 1
        places = 2 if scale == 100 else 4
        text = f"{scale * statistics.fmean(figures):.{places}f}"
        return text + (f" ± {scale * statistics.stdev(figures):.{places}f}" if len(figures) > 1 else "")

    @property
    def needed(self) -> str:
        """How many seeds would settle it."""
        if self.found is None:
            return ""
        return str(self.found.needed or "") if self.found.verdict == "not resolved" else "enough"

    @property
    def failures(self) -> str:
        """How many runs diverged or died; empty if none did."""
        counts = {word: self.group.count(word) for word in ("diverged", "dead")}
        return ", ".join(f"{count} of {len(self.group.records)} {word}" for word, count in counts.items() if count)


@dataclass(frozen=True)
class Table:
    """One question's answer."""

    question: Question
    sentences: tuple[str, str]
    rows: list[Row]
    zero: float
    """Where no difference is in the picture, in percent of its width."""
    rates: bool
    """Whether base LRs differ, so that they have to be told."""


def write(
    folder: Path,
    groups: Sequence[Group],
    questions: Sequence[Question],
    metric: Metric,
    figures: Mapping[str, Figure],
    source: Source,
) -> None:
    """Write report.html and report.md into ``folder``.

    Args:
        folder: where the pictures are, which report.md shows.
        groups: of the sweep.
        questions: and their answers.
        metric: what they are about.
        figures: that `pictures.write` has drawn of them.
        source: what one needs to have it again.
    """
    best = ranked(at_own_best(groups), metric)
    seen = {
        "source": source,
        "metric": "accuracy, %" if metric == "test_accuracy" else "loss",
        "sides": ("worse", "better") if HIGHER_IS_BETTER[metric] else ("better", "worse"),
        "groups": best,
        "tables": [_table(question, metric) for question in questions],
        "ranking": [Row(group.name, group, None, metric, 0, 0, 0) for group in ranked(groups, metric)],
        "nothing": "" if questions else verdict.of_nothing(groups, source.baseline),
        "about": verdict.of_runs(groups),
        "best": verdict.of_best(groups, metric) if len(questions) > 1 else "",
        "notes": _notes(groups, questions, metric) if questions else [],
        "sensitive": "sensitivity" in figures,
        "twice": len({question.at for question in questions}) > 1,
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "device": groups[0].records[0].device,
        "amount": lambda value: verdict.number(value, metric, signed=True),
        "interval": verdict.interval,
        "known": math.isfinite,
    }
    environment = Environment(
        loader=PackageLoader("pipeline.report"), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    drawn = {
        "cards": pictures.cards(best, pictures.colours(groups, questions)),
        "sensitivity": pictures.inline(figures["sensitivity"]) if seen["sensitive"] else "",
        "weights": pictures.inline(figures["parameters"]),
    }
    _render(environment, "report.html.j2", folder / "report.html", seen | drawn)
    _render(environment, "report.md.j2", folder / "report.md", seen)


def _render(environment: Environment, template: str, path: Path, seen: Mapping[str, Any]) -> None:
    environment.autoescape = path.suffix == ".html"
    environment.filters["code"] = lambda text: Markup(re.sub("`(.*?)`", r"<code>\1</code>", str(escape(text))))
    write_text(path, environment.get_template(template).render(seen))


def _notes(groups: Sequence[Group], questions: Sequence[Question], metric: Metric) -> list[str]:
    """What bears on a verdict, and what to do next."""
    notes = (
        verdict.of_power(questions[0]),
        verdict.of_final_lr(final_lr_effect(questions[0], metric)),
        verdict.of_base_lr(groups),
        verdict.next_step(questions),
    )
    return [note for note in notes if note]


def _table(question: Question, metric: Metric) -> Table:
    found = question.comparisons
    ends = [end for each in found for end in (each.low, each.mean, each.high) if math.isfinite(end)] + [0.0]
    low, high = min(ends), max(ends)
    width = (high - low) or 1.0

    def place(value: float) -> float:
        return 4 + 92 * (value - low) / width if math.isfinite(value) else math.nan

    others = {id(each.other): each.other for each in found}
    rows = [
        Row(
            verdict.name(each.group, question),
            each.group,
            each,
            metric,
            place(each.low),
            place(each.mean),
            place(each.high),
        )
        for each in found
    ]
    zero = place(0.0)
    rows += [Row(verdict.name(other, question), other, None, metric, zero, zero, zero) for other in others.values()]
    order = {id(group): rank for rank, group in enumerate(ranked([row.group for row in rows], metric))}
    rows.sort(key=lambda row: order[id(row.group)])
    rates = len({row.group.run.lr for row in rows}) > 1
    return Table(
        question,
        verdict.sentences(question),
        rows,
        zero,
        rates,
    )
