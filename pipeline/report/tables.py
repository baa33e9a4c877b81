"""The tables in results/: CSV and JSON files."""

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from pipeline.comparison.groups import Group
from pipeline.comparison.learning_curves import learning_curve
from pipeline.comparison.questions import Question, first_of_each
from pipeline.comparison.statistics import standard_deviation
from pipeline.files import write_text
from pipeline.params import Run
from pipeline.records import COLUMNS, Record
from pipeline.training.weights import Layer

RUN_COLUMNS = ("scheduler", "optimizer", "base_lr", "seed")


def write_metrics(path: Path, groups: Sequence[Group], questions: Sequence[Question]) -> None:
    """Write what `dvc metrics show` and `dvc exp show` read: each group's figures over its seeds, and its verdict."""
    comparisons = first_of_each(questions)
    metrics: dict[str, dict[str, Any]] = {}
    for group in groups:
        figures = metrics[group.name] = {}
        losses = group.figures("test_loss")
        if group.has_accuracy:
            accuracies = group.figures("test_accuracy")
            figures["test_accuracy"] = statistics.fmean(accuracies)
            figures["test_accuracy_std"] = _finite(standard_deviation(accuracies))
        figures["test_loss"] = _finite(statistics.fmean(losses))
        if not group.has_accuracy:
            figures["test_loss_std"] = _finite(standard_deviation(losses))
        if found := comparisons.get(group.name):
            figures["difference"] = _finite(found.test.mean)
            figures["p"] = _finite(found.test.adjusted)
            figures["verdict"] = found.verdict
        for outcome in ("diverged", "dead"):
            figures[outcome] = group.count(outcome)
    write_text(path, json.dumps(metrics, indent=2) + "\n")


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None  # JSON has no NaN


def write_curves(path: Path, records: Sequence[Record]) -> None:
    """Write every recorded epoch of every run, in the order of the sweep."""
    rows = ((*_run_cells(record.run), *astuple(epoch)) for record in records for epoch in record.epochs)
    _write_csv(path, (*RUN_COLUMNS, *COLUMNS), rows)


def write_learning_curves(path: Path, records: Sequence[Record]) -> None:
    """Write the verdict on the learning curve of each run."""
    columns = ("outcome", "verdict", "since", "best_epoch", "best_val_loss", "train_loss", "val_loss", "gap")
    rows = []
    for record in records:
        curve, last = learning_curve(record), record.last
        best = (curve.best_epoch, curve.best_val_loss)
        cells = (record.outcome, curve.verdict, curve.since, *best, last.train_loss, last.val_loss, curve.gap)
        rows.append((*_run_cells(record.run), *cells))
    _write_csv(path, (*RUN_COLUMNS, *columns), rows)


def write_parameters(path: Path, runs: Iterable[tuple[Record, Sequence[Layer]]]) -> None:
    """Write the statistics of each layer of each run, a row for its start and a row for its end."""
    columns = ("layer", "shape", "when", "mean", "std", "norm", "largest", "near_zero", "low", "high", "histogram")
    rows = []
    for record, layers in runs:
        for layer in layers:
            shape = "x".join(map(str, layer.shape))
            for when, weights in (("start", layer.start), ("end", layer.end)):
                figures = (weights.mean, weights.std, weights.norm, weights.largest, weights.near_zero)
                histogram = " ".join(map(str, weights.histogram))
                cells = (layer.name, shape, when, *figures, layer.low, layer.high, histogram)
                rows.append((*_run_cells(record.run), *cells))
    _write_csv(path, (*RUN_COLUMNS, *columns), rows)


def _run_cells(run: Run) -> tuple[str, str, float, int]:
    return run.scheduler, run.optimizer, run.lr, run.seed


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())
