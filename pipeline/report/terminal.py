"""Terminal output of the commands: tables, verdicts, curves drawn with characters."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.comparison.advice import base_lr_note, next_step, power_note
from pipeline.comparison.groups import Group
from pipeline.comparison.phrases import name, words
from pipeline.comparison.questions import Comparison, Question, first_of_each
from pipeline.comparison.statistics import standard_deviation
from pipeline.comparison.wording import sentences
from pipeline.params import Metric

if TYPE_CHECKING:
    from pipeline.sweep.cache import Entry

DROPPED = ("learning curve", "test loss", "seeds needed", "final LR")
"""Columns that the ranking drops, one by one, until it fits the terminal."""


@dataclass(frozen=True)
class Column:
    """A column of the ranking."""

    title: str
    cells: list[str]
    """One for each group."""
    is_text: bool = False
    """True for words, which are aligned left; numbers are aligned right."""


def print_ranking(
    console: Console, task: str, groups: Sequence[Group], metric: Metric, questions: Sequence[Question]
) -> None:
    """Print a table of the groups in their order, best first; with the comparisons, if there is only one question."""
    seeds = max(len(group.records) for group in groups)
    of_seeds = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    title = f"{task}, test set: {of_seeds}"
    columns = _ranking_columns(groups, metric, questions, seeds)
    unlimited = console.options.update(max_width=10_000)
    for dropped in DROPPED:
        if console.measure(_ranking_table(title, groups, columns), options=unlimited).maximum > console.width:
            columns = [column for column in columns if column.title != dropped]
    console.print(_ranking_table(title, groups, columns))
    if len(questions) == 1:
        _print_footnote(console, questions[0], metric, seeds)


def _ranking_columns(
    groups: Sequence[Group], metric: Metric, questions: Sequence[Question], seeds: int
) -> list[Column]:
    columns = [Column(words(metric), [_mean(group.figures(metric)) for group in groups])]
    if metric != "test_loss":
        columns.append(Column("test loss", [_mean(group.figures("test_loss")) for group in groups]))
    if len(questions) == 1:
        comparisons = first_of_each(questions)
        found = [comparisons.get(group.name) for group in groups]
        columns.append(Column(_difference_title(questions[0]), [_difference(each) for each in found]))
        if seeds > 1:
            verdicts = [each.verdict if each else "" for each in found]
            columns.append(Column("verdict", verdicts, is_text=True))
            columns.append(Column("seeds needed", [_seeds_needed(each) for each in found]))
    columns.append(Column("final LR", [f"{group.final_lr:.2g}" for group in groups]))
    for outcome in ("diverged", "dead"):
        counts = [f"{group.count(outcome)} of {len(group.records)}" for group in groups]
        if any(group.count(outcome) for group in groups):
            columns.append(Column(outcome, counts))
    columns.append(Column("learning curve", [group.usual_curve for group in groups], is_text=True))
    return columns


def _ranking_table(title: str, groups: Sequence[Group], columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("", justify="right")
    table.add_column("scheduler", no_wrap=True)
    for column in columns:
        table.add_column(column.title, justify="left" if column.is_text else "right", no_wrap=True)
    for row, group in enumerate(groups):
        table.add_row(str(row + 1), group.name, *(column.cells[row] for column in columns))
    return table


def print_answers(console: Console, groups: Sequence[Group], questions: Sequence[Question], metric: Metric) -> None:
    """Print the verdict on each question in two sentences, below a table of each if there are several; then notes."""
    for question in questions:
        if len(questions) > 1:
            console.print(_question_table(question))
            _print_footnote(console, question, metric, len(question.comparisons[0].group.records))
        told = [*sentences(question), power_note(question)]
        console.print(" ".join(filter(None, told)), markup=False, highlight=False, soft_wrap=False)
        console.print()
    notes = [base_lr_note(groups), next_step(questions)] if questions else []
    for note in filter(None, notes):
        console.print(note, markup=False, highlight=False, soft_wrap=True)  # so that a command can be copied


def _question_table(question: Question) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=question.title, title_justify="left")
    for title in (question.subject, _difference_title(question), "verdict", "seeds needed", "base LR"):
        is_text = title in (question.subject, "verdict")
        table.add_column(title, justify="left" if is_text else "right", no_wrap=True)
    for found in sorted(question.comparisons, key=lambda each: -each.gain):
        lr, other = found.group.run.lr, found.other.run.lr
        rates = f"{lr:g}" if lr == other else f"{lr:g} ({other:g})"
        table.add_row(name(found.group, question), _difference(found), found.verdict, _seeds_needed(found), rates)
    return table


def _difference_title(question: Question) -> str:
    return f"- {question.against}*"


def _print_footnote(console: Console, question: Question, metric: Metric, seeds: int) -> None:
    console.print(f"* {words(metric)} minus that of {question.against}, paired by seed: mean ± half the 95% interval")
    if seeds > 1:
        count = question.comparisons[0].test.together
        corrected = f", Holm-corrected for {count} comparisons" if count > 1 else ""
        console.print(
            f"  verdict: paired t-test{corrected}; seeds needed: in total, to resolve a difference this large"
        )
    console.print()


def _mean(figures: Sequence[float]) -> str:
    deviation = standard_deviation(figures)
    return f"{statistics.fmean(figures):.4f}" + (f" ± {deviation:.4f}" if math.isfinite(deviation) else "")


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    margin = found.test.margin
    return f"{found.test.mean:+.4f}" + (f" ± {margin:.4f}" if math.isfinite(margin) else "")


def _seeds_needed(found: Comparison | None) -> str:
    needed = found.seeds_needed if found else None
    return "" if needed is None else str(needed)


def print_curve(console: Console, title: str, rates: Sequence[float], epochs: int) -> None:
    """Draw a learning-rate curve with characters, as wide as the terminal.

    Args:
        console: to print on.
        title: printed above.
        rates: the learning rate of every batch.
        epochs: that the batches make.
    """
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height = max(16, min(console.width, 100) - 24), 12
    figure.set_x_limits(0, epochs)
    figure.set_y_limits(0, 1.05 * max(rates) or 1.0)
    figure.x_label, figure.y_label = "epoch", "LR"
    figure.color_mode = "byte"
    figure.register_label_formatter(float, _axis_label)
    figure.plot([epochs * batch / len(rates) for batch in range(len(rates))], list(rates))
    console.print(f"{title}\n{figure.show()}", markup=False, highlight=False, soft_wrap=True)
    lowest = min(range(len(rates)), key=rates.__getitem__)
    after = f"{epochs * lowest / len(rates):.4g}"
    console.print(
        f"  starts at {rates[0]:.4g}, lowest {rates[lowest]:.4g} after {after} epochs, ends at {rates[-1]:.4g}"
    )


def _axis_label(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value:.3g}"
    return text.ljust(chars) if left else text.rjust(chars)


def print_cache(console: Console, entries: "Sequence[Entry]") -> None:
    """Print a table of the run cache: for each task the number of runs, their size, and when they were last used."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("task", "runs", "MB", "last used from", "to"):
        table.add_column(title, justify="left" if title == "task" else "right")
    for kind in sorted({entry.kind for entry in entries}):
        those = [entry for entry in entries if entry.kind == kind]
        used = [entry.used for entry in those]
        days = [datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") for when in (min(used), max(used))]
        table.add_row(kind, str(len(those)), f"{sum(entry.size for entry in those) / 1e6:.1f}", *days)
    console.print(table if entries else "the run cache is empty")


def print_schedulers(console: Console, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a table of schedulers: name, class, formula and source of each row."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("scheduler", no_wrap=True)
    table.add_column("learning rate at step t of T, base LR lr", ratio=1)
    table.add_column("source", ratio=1, overflow="fold")
    for scheduler, class_, formula, source in rows:
        table.add_row(f"{scheduler}\n[dim]{class_}[/dim]", Text(formula), Text(source))
    console.print(table)
