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

from pipeline.comparison.answer import Findings
from pipeline.comparison.learning_curves import learning_curve
from pipeline.comparison.statistics import standard_deviation
from pipeline.files import write_text
from pipeline.params import Run
from pipeline.records import COLUMNS, Record
from pipeline.report.arms import arms, key
from pipeline.training.weights import Layer

RUN_COLUMNS = ("scheduler", "optimizer", "base_lr", "seed")


def write_metrics(path: Path, findings: Findings) -> None:
    """Write what `dvc metrics show` and `dvc exp show` read: the answer, and what is known of each arm.

    Both leave out lists, and show what is nested as columns with dotted names.
    """
    answer = findings.answer
    metrics: dict[str, dict[str, Any]] = {
        "answer": {
            "kind": answer.kind,
            "leader": key(answer.leader, answer),
            "good_enough": ", ".join(key(group, answer) for group in answer.good_enough),
            "margin": answer.scale.margin,
            "runs": answer.runs,
        }
    }
    of_group = {id(arm.group): arm for arm in arms(findings)}
    for group in answer.arms:  # in the sweep's order, which does not change with the figures
        arm, figures = of_group[id(group)], metrics.setdefault(key(group, answer), {})
        losses = group.figures("test_loss")
        if group.has_accuracy:
            figures["test_accuracy"] = statistics.fmean(group.figures("test_accuracy"))
        figures["test_loss"] = _finite(statistics.fmean(losses))
        figures["sd"] = _finite(standard_deviation(group.figures(arm.metric)))
        figures["best"] = arm.place != "not needed"
        figures["bound"] = _finite(arm.bound)
        if found := arm.comparison:
            figures["verdict"] = found.verdict
            figures["difference"] = _finite(found.gain)
            figures["p"] = _finite(found.p)
        figures["seeds"] = len(group.records)
        figures["lr"] = group.run.lr
        for outcome in ("diverged", "dead"):
            figures[outcome] = group.count(outcome)
    write_text(path, json.dumps(metrics, indent=2) + "\n")


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None  # JSON has neither NaN nor infinity


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
