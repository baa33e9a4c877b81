"""Words and figures: what the commands print, and the files in results/ that are no pictures."""

import csv
import io
import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import astuple
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.analysis import Layer, learning_curve
from pipeline.cache import Entry
from pipeline.comparison import Difference, Group, baselines, difference, spread
from pipeline.files import write_text
from pipeline.params import Run
from pipeline.records import COLUMNS, Record

NARROW, WIDE = 90, 116
"""Characters in a line that the ranking needs for its test loss, and for its learning curves."""
RUN_COLUMNS = ("scheduler", "optimizer", "base_lr", "seed")


def _run_columns(run: Run) -> tuple[Any, ...]:
    return run.scheduler, run.optimizer, run.lr, run.seed


def write_metrics(path: Path, groups: Sequence[Group]) -> None:
    """Write what `dvc metrics show` and `dvc exp show` read: figures of each group over its seeds."""
    metrics = {}
    for group in groups:
        figures: dict[str, float | None] = {"test_loss": _number(statistics.fmean(group.losses))}
        if group.metric == "test_accuracy":
            figures = {
                "test_accuracy": statistics.fmean(group.figures),
                "test_accuracy_std": _number(spread(group.figures)),
            } | figures
        else:
            figures["test_loss_std"] = _number(spread(group.losses))
        metrics[group.name] = figures | {outcome: group.count(outcome) for outcome in ("diverged", "dead")}
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


def print_ranking(console: Console, task: str, groups: Sequence[Group], baseline: str) -> None:
    """A table of the groups, as they come: best first."""
    seeds = max(len(group.records) for group in groups)
    of_seeds = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    table = Table(box=box.SIMPLE_HEAD, title=f"{task}, test set: {of_seeds}", title_justify="left")
    metric = groups[0].metric
    others = baselines(groups, baseline)
    differences = {group.name: difference(group, others[group.name]) for group in groups if group.name in others}
    failures = [word for word in ("diverged", "dead") if any(group.count(word) for group in groups)]
    table.add_column("", justify="right")
    table.add_column("scheduler", no_wrap=True)
    columns: dict[str, Callable[[Group], str]] = {metric.replace("_", " "): lambda group: _mean(group.figures)}
    if metric != "test_loss" and console.width >= NARROW:
        columns["test loss"] = lambda group: _mean(group.losses)
    if differences:
        columns[f"- {baseline}*"] = lambda group: _difference(differences.get(group.name))
    columns["final LR"] = lambda group: f"{group.final_lr:.2g}"
    for word in failures:
        columns[word] = lambda group, word=word: f"{group.count(word)} of {len(group.records)}"  # type: ignore[misc]
    if console.width >= WIDE:
        columns["learning curve"] = lambda group: group.usual_curve
    for name in columns:
        table.add_column(name, justify="left" if name == "learning curve" else "right", no_wrap=True)
    for rank, group in enumerate(groups, start=1):
        table.add_row(str(rank), group.name, *(cell(group) for cell in columns.values()))
    console.print(table)
    if differences:
        what = metric.replace("_", " ")
        console.print(f"* {what} minus that of {baseline}, seed by seed: mean, and the 95% interval of Student's t")


def _mean(figures: Sequence[float]) -> str:
    deviation = spread(figures)
    return f"{statistics.fmean(figures):.4f}" + (f" ± {deviation:.4f}" if math.isfinite(deviation) else "")


def _difference(found: Difference | None) -> str:
    if found is None:
        return ""
    return f"{found.mean:+.4f}" + (f" ± {found.margin:.4f}" if math.isfinite(found.margin) else "")


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
