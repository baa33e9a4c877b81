"""The tables in results/: CSV files."""

import csv
import io
import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

from pipeline.comparison.answer import Findings
from pipeline.comparison.learning_curves import learning_curve
from pipeline.files import write_text
from pipeline.report.arms import name
from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.runs.records import COLUMNS, Record
from pipeline.training.layer_statistics import Layer

RUN_COLUMNS = ("scheduler", "optimizer", "base_lr", "seed")


def write_curves(path: Path, records: Sequence[Record]) -> None:
    """Write every recorded epoch of every run, in the order of the sweep."""
    rows = ((*_run_cells(record.run), *astuple(epoch)) for record in records for epoch in record.epochs)
    _write_csv(path, (*RUN_COLUMNS, *COLUMNS), rows)


def write_mean_curves(path: Path, findings: Findings) -> None:
    """Write the mean of each recorded epoch over the seeds of an arm: the curves that `dvc plots` draws.

    It is over the runs with finite figures there; ``seeds`` counts them.
    """
    columns = ("scheduler", "base_lr", "seeds", *COLUMNS)
    rows: list[Sequence[Any]] = []
    for group in findings.answer.arms:
        of_epoch: dict[int, list[Epoch]] = {}
        for epoch in (epoch for record in group.records for epoch in record.epochs):
            of_epoch.setdefault(epoch.epoch, [])
            if math.isfinite(epoch.train_loss) and math.isfinite(epoch.val_loss):
                of_epoch[epoch.epoch].append(epoch)
        for number, epochs in sorted(of_epoch.items()):
            figures = [_mean([getattr(epoch, column) for epoch in epochs]) for column in COLUMNS[1:]]
            rows.append((name(group, findings.answer), group.run.lr, len(epochs), number, *figures))
    _write_csv(path, columns, rows)


def _mean(figures: Sequence[float | None]) -> float | None:
    """Return the mean; None, an empty cell, if there are no figures."""
    known = [figure for figure in figures if figure is not None]
    return statistics.fmean(known) if known else None


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
