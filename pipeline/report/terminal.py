"""Words and figures: what the commands print, and the files in results/ that are no pictures."""

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.comparison import wording as verdict
from pipeline.comparison.calibration import Found, Share
from pipeline.comparison.learning_curves import learning_curve
from pipeline.comparison.questions import Comparison, Group, Question, first_of_each, spread
from pipeline.files import write_text
from pipeline.params import Metric, Run
from pipeline.records import COLUMNS, Record
from pipeline.sweep.cache import Entry
from pipeline.training.weights import Layer

SPARED = ("learning curve", "test loss", "seeds needed", "final LR")
"""Columns that the ranking does without, one by one, until it fits its terminal."""
RUN_COLUMNS = ("scheduler", "optimizer", "base_lr", "seed")


def _run_columns(run: Run) -> tuple[Any, ...]:
    return run.scheduler, run.optimizer, run.lr, run.seed


def write_metrics(path: Path, groups: Sequence[Group], questions: Sequence[Question]) -> None:
    """Write what `dvc metrics show` and `dvc exp show` read: figures of each group over its seeds, and its verdict."""
    comparisons = first_of_each(questions)
    metrics: dict[str, dict[str, Any]] = {}
    for group in groups:
        figures = metrics[group.name] = {}
        if group.has_accuracy:
            accuracies = group.of("test_accuracy")
            figures["test_accuracy"] = statistics.fmean(accuracies)
            figures["test_accuracy_std"] = _number(spread(accuracies))
        figures["test_loss"] = _number(statistics.fmean(group.losses))
        if not group.has_accuracy:
            figures["test_loss_std"] = _number(spread(group.losses))
        if found := comparisons.get(group.name):
            figures |= {"difference": _number(found.mean), "p": _number(found.adjusted), "verdict": found.verdict}
        figures |= {outcome: group.count(outcome) for outcome in ("diverged", "dead")}
    write_text(path, json.dumps(metrics, indent=2) + "\n")


def _number(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None  # JSON has no NaN


def write_curves(path: Path, records: Sequence[Record]) -> None:
    """Write every recorded epoch of every run, in the order of the sweep."""
    rows = ((*_run_columns(record.run), *astuple(epoch)) for record in records for epoch in record.epochs)
    _write_table(path, (*RUN_COLUMNS, *COLUMNS), rows)


def write_learning_curves(path: Path, records: Sequence[Record]) -> None:
    """Write what the learning curve of each run says."""
    columns = ("outcome", "verdict", "since", "best_epoch", "best_val_loss", "train_loss", "val_loss", "gap")
    rows = []
    for record in records:
        curve = learning_curve(record)
        rows.append(
            (
                *_run_columns(record.run),
                record.outcome,
                curve.verdict,
                curve.since,
                curve.best_epoch,
                curve.best_val_loss,
                record.last.train_loss,
                record.last.val_loss,
                curve.gap,
            )
        )
    _write_table(path, (*RUN_COLUMNS, *columns), rows)


def write_parameters(path: Path, runs: Iterable[tuple[Record, Sequence[Layer]]]) -> None:
    """Write the figures of each layer of each run, at its start and its end, a row each."""
    columns = ("layer", "shape", "when", "mean", "std", "norm", "largest", "near_zero", "low", "high", "histogram")
    rows = (
        (
            *_run_columns(record.run),
            layer.name,
            "x".join(map(str, layer.shape)),
            when,
            *(weights.mean, weights.std, weights.norm, weights.largest, weights.near_zero),
            *(layer.low, layer.high, " ".join(map(str, weights.histogram))),
        )
        for record, layers in runs
        for layer in layers
        for when, weights in (("start", layer.start), ("end", layer.end))
    )
    _write_table(path, (*RUN_COLUMNS, *columns), rows)


def _write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def print_ranking(
    console: Console, task: str, groups: Sequence[Group], metric: Metric, questions: Sequence[Question]
) -> None:
    """A table of the groups, as they come: best first; with the answers, where there is one question only."""
    seeds = max(len(group.records) for group in groups)
    of_seeds = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    only = questions[0] if len(questions) == 1 else None
    answers = first_of_each(questions)
    columns: dict[str, Callable[[Group], str]] = {metric.replace("_", " "): lambda group: _mean(group.of(metric))}
    if metric != "test_loss":
        columns["test loss"] = lambda group: _mean(group.losses)
    if only:
        columns[f"- {only.against}*"] = lambda group: _difference(answers.get(group.name))
    if only and seeds > 1:
        columns["verdict"] = lambda group: found.verdict if (found := answers.get(group.name)) else ""
        columns["seeds needed"] = lambda group: str(found.needed or "") if (found := answers.get(group.name)) else ""
    columns["final LR"] = lambda group: f"{group.final_lr:.2g}"
    for word in ("diverged", "dead"):
        if any(group.count(word) for group in groups):
            columns[word] = lambda group, word=word: f"{group.count(word)} of {len(group.records)}"  # type: ignore[misc]
    columns["learning curve"] = lambda group: group.usual_curve

    def table() -> Table:
        drawn = Table(box=box.SIMPLE_HEAD, title=f"{task}, test set: {of_seeds}", title_justify="left")
        drawn.add_column("", justify="right")
        drawn.add_column("scheduler", no_wrap=True)
        for name in columns:
            drawn.add_column(name, justify="left" if name in ("verdict", "learning curve") else "right", no_wrap=True)
        for rank, group in enumerate(groups, start=1):
            drawn.add_row(str(rank), group.name, *(cell(group) for cell in columns.values()))
        return drawn

    endless = console.options.update(max_width=10_000)
    for name in SPARED:
        if console.measure(table(), options=endless).maximum > console.width:
            columns.pop(name, None)
    console.print(table())
    if only:
        _print_footnote(console, only, metric, seeds)


def print_answers(console: Console, groups: Sequence[Group], questions: Sequence[Question], metric: Metric) -> None:
    """The verdict on each question in two sentences; with a table of each where there are several."""
    for question in questions:
        if len(questions) > 1:
            table = Table(box=box.SIMPLE_HEAD, title=question.title, title_justify="left")
            for name in (question.of, f"- {question.against}*", "verdict", "seeds needed", "base LR"):
                table.add_column(name, justify="left" if name in (question.of, "verdict") else "right", no_wrap=True)
            for found in sorted(question.comparisons, key=lambda each: -each.gain):
                rates = f"{found.group.run.lr:g}" + f" ({found.other.run.lr:g})" * (
                    found.group.run.lr != found.other.run.lr
                )
                needed = str(found.needed or "")
                table.add_row(verdict.name(found.group, question), _difference(found), found.verdict, needed, rates)
            console.print(table)
            _print_footnote(console, question, metric, len(question.comparisons[0].group.records))
        told = (*verdict.sentences(question), verdict.of_power(question))
        console.print(" ".join(filter(None, told)), markup=False, highlight=False, soft_wrap=False)
        console.print()
    for note in (verdict.of_base_lr(groups), verdict.next_step(questions)):
        if questions and note:
            console.print(note, markup=False, highlight=False, soft_wrap=True)  # a command in one piece


def _print_footnote(console: Console, question: Question, metric: Metric, seeds: int) -> None:
    what = metric.replace("_", " ")
    console.print(f"* {what} minus that of {question.against}, seed by seed: mean, and the 95% interval of Student's t")
    if seeds > 1:
        count = question.comparisons[0].together
        corrected = f", corrected for {count} comparisons (Holm)" if count > 1 else ""
        console.print(f"  verdict: by a paired t test{corrected}; seeds needed: so many would resolve it")
    console.print()


def _mean(figures: Sequence[float]) -> str:
    deviation = spread(figures)
    return f"{statistics.fmean(figures):.4f}" + (f" ± {deviation:.4f}" if math.isfinite(deviation) else "")


def _difference(found: Comparison | None) -> str:
    if found is None:
        return ""
    return f"{found.mean:+.4f}" + (f" ± {found.margin:.4f}" if math.isfinite(found.margin) else "")


def print_shares(console: Console, shares: Mapping[str, Share], title: str) -> None:
    """A table of how often each kind of sweep has a verdict that is wrong."""
    table = Table("sweeps of", title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("sweeps", "wrong", "share", "95% interval"):
        table.add_column(name, justify="right")
    for kind, found in shares.items():
        low, high = found.interval
        table.add_row(kind, str(found.sweeps), str(found.wrong), f"{found.share:.1%}", f"{low:.1%} to {high:.1%}")
    console.print(table)


def print_power(console: Console, tables: Sequence[Sequence[Found]], metric: Metric, deviation: float | None) -> None:
    """A table of the smallest difference that each number of seeds finds, two columns for each count of comparisons."""
    table = Table(title="the smallest difference that is found four times out of five", box=box.SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    known = "" if deviation is None else f", here {deviation:.4f}, √2 times that over seeds"
    table.caption = f"SD: the standard deviation of differences between two runs{known}"
    table.add_column("seeds", justify="right")
    for first, *_ in tables:
        table.add_column(f"{first.comparisons} comparison{'s' * (first.comparisons > 1)}: SD", justify="right")
        table.add_column(metric.replace("_", " "), justify="right")
    for row in zip(*tables, strict=True):
        differences = ["" if each.difference is None else f"{each.difference:.4f}" for each in row]
        cells = zip([f"{each.deviations:.2f}" for each in row], differences, strict=True)
        table.add_row(str(row[0].seeds), *(cell for pair in cells for cell in pair))
    console.print(table)


def print_curve(console: Console, name: str, rates: Sequence[float], epochs: int) -> None:
    """Draw one LR curve with characters, as wide as the terminal."""
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height = max(16, min(console.width, 100) - 24), 12
    figure.set_x_limits(0, epochs)
    figure.set_y_limits(0, 1.05 * max(rates) or 1.0)
    figure.x_label, figure.y_label = "epoch", "LR"
    figure.color_mode = "byte"
    figure.register_label_formatter(float, _axis_label)
    figure.plot([epochs * batch / len(rates) for batch in range(len(rates))], list(rates))
    console.print(f"{name}\n{figure.show()}", markup=False, highlight=False, soft_wrap=True)
    lowest = min(range(len(rates)), key=rates.__getitem__)
    after = f"{epochs * lowest / len(rates):.4g}"
    console.print(
        f"  begins with {rates[0]:.4g}, lowest {rates[lowest]:.4g} after {after} epochs, ends {rates[-1]:.4g}"
    )


def _axis_label(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value:.3g}"
    return text.ljust(chars) if left else text.rjust(chars)


def print_cache(console: Console, entries: Sequence[Entry]) -> None:
    """A table of the run cache: how many runs of each task, their size, and when they were last of use."""
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("runs of", "how many", "MB", "last used, from", "to"):
        table.add_column(name, justify="left" if name == "runs of" else "right")
    for kind in sorted({entry.kind for entry in entries}):
        of_kind = [entry for entry in entries if entry.kind == kind]
        used = [entry.used for entry in of_kind]
        days = [datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") for when in (min(used), max(used))]
        table.add_row(kind, str(len(of_kind)), f"{sum(entry.size for entry in of_kind) / 1e6:.1f}", *days)
    console.print(table if entries else "the run cache is empty")


def print_schedulers(console: Console, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """A table of schedulers: name, class, formula and source of each."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("scheduler", no_wrap=True)
    table.add_column("learning rate at step t of T, base rate lr", ratio=1)
    table.add_column("source", ratio=1, overflow="fold")
    for name, class_, formula, source in rows:
        table.add_row(f"{name}\n[dim]{class_}[/dim]", Text(formula), Text(source))
    console.print(table)
