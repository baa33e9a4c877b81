"""The CSV and JSON files in results/. `dvc metrics show` prints metrics.json, or schedulers.json if you name it."""

import csv
import io
import json
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import Group
from pipeline.comparison.learning_curves import learning_curve
from pipeline.comparison.questions import Comparison
from pipeline.comparison.statistics import standard_deviation
from pipeline.files import write_text
from pipeline.report.arms import arms, key, name, own
from pipeline.report.wording import headline
from pipeline.runs.epoch import Epoch, figure_names
from pipeline.runs.metric import TEST_LOSS, Metric
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.training.layer_statistics import Layer

RUN_COLUMNS = ("scheduler", "optimizer", "base_lr", "seed")
FAILED = ("diverged", "dead")
"""The outcomes that count as failures."""
DIGITS = 4
"""Significant digits of figures in metrics.json; schedulers.json has all digits."""


def write_curves(path: Path, records: Sequence[Record]) -> None:
    """Write a row for each recorded epoch of each run, in the order of the sweep."""
    names = figure_names(epoch for record in records for epoch in record.epochs)
    rows = (
        (*_run_cells(record.run), epoch.epoch, epoch.lr, *map(epoch.figures.get, names))
        for record in records
        for epoch in record.epochs
    )
    _write_csv(path, (*RUN_COLUMNS, "epoch", "lr", *names), rows)


def write_mean_curves(path: Path, findings: Findings) -> None:
    """Write the curves that `dvc plots` draws: for each arm and recorded epoch, the means over the seeds.

    A run whose figures are not finite in an epoch is left out of the means of that epoch. The column ``seeds`` counts
    the runs that are included.
    """
    groups = findings.answer.arms
    names = figure_names(epoch for group in groups for record in group.records for epoch in record.epochs)
    rows: list[Sequence[Any]] = []
    for group in groups:
        of_epoch: dict[int, list[Epoch]] = {}
        for epoch in (epoch for record in group.records for epoch in record.epochs):
            finite = of_epoch.setdefault(epoch.epoch, [])
            if not epoch.diverged:
                finite.append(epoch)
        for number, epochs in sorted(of_epoch.items()):
            lr = statistics.fmean(epoch.lr for epoch in epochs) if epochs else None
            cells = (name(group, findings.answer), group.run.lr, len(epochs), number, lr)
            rows.append((*cells, *(_mean_figure(epochs, figure) for figure in names)))
    _write_csv(path, ("scheduler", "base_lr", "seeds", "epoch", "lr", *names), rows)


def _mean_figure(epochs: Sequence[Epoch], name: str) -> float | None:
    """Return the mean of a figure, or None (written as an empty cell) if no epoch has the figure."""
    known = [epoch.figures[name] for epoch in epochs if name in epoch.figures]
    return statistics.fmean(known) if known else None


def write_learning_curves(path: Path, records: Sequence[Record]) -> None:
    """Write a row for each run, with its outcome and the verdict on its learning curve."""
    columns = ("outcome", "verdict", "since", "best_epoch", "best_val_loss", "train_loss", "val_loss", "gap")
    rows = []
    for record in records:
        curve, last = learning_curve(record), record.last
        best = (curve.best_epoch, curve.best_val_loss)
        cells = (record.outcome, curve.verdict, curve.since, *best, last.train_loss, last.val_loss, curve.gap)
        rows.append((*_run_cells(record.run), *cells))
    _write_csv(path, (*RUN_COLUMNS, *columns), rows)


def write_parameters(path: Path, runs: Iterable[tuple[Record, Sequence[Layer]]]) -> None:
    """Write two rows for each layer of each run: statistics of the layer's weights before and after training."""
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


def write_metrics(path: Path, findings: Findings) -> None:
    """Write the answer as values short enough for the tables of `dvc metrics show` and `dvc exp show`.

    The keys differ from those in params.yaml, because `dvc exp show` adds a file's path to a key that two files share.
    """
    answer = findings.answer
    leader, baseline, metric = answer.leader, answer.baseline, answer.scale.metric
    comparisons = (comparison for question in own(findings) for comparison in question.comparisons)
    is_rival = baseline is not None and baseline is not leader
    _write_json(
        path,
        {
            "verdict": answer.kind + ("?" if answer.is_provisional and answer.kind not in ("open", "nothing") else ""),
            "leader": key(leader, answer),
            **_gains(next((comparison for comparison in comparisons if comparison.group is leader), None)),
            "mean": _mean(leader, metric),
            "against": _mean(baseline, metric) if baseline is not None and is_rival else None,
            "runs": answer.runs,
            "failed": sum(group.count(outcome) for group in answer.arms for outcome in FAILED),
        },
    )


def write_answer(path: Path, findings: Findings) -> None:
    """Write what `pipeline export` reads: the headline, and the leader's key in schedulers.json."""
    _write_json(path, {"headline": headline(findings), "leader": key(findings.answer.leader, findings.answer)})


def write_schedulers(path: Path, findings: Findings) -> None:
    """Write the results of each arm under the arm's key.

    `dvc metrics show` joins the key of an arm and the key of a result with a dot, as in `cosine.seeds`. The arms are in
    the order of the sweep, which does not depend on the results.
    """
    answer = findings.answer
    of_group = {id(arm.group): arm for arm in arms(findings)}
    schedulers: dict[str, dict[str, Any]] = {}
    for group in answer.arms:
        arm, figures = of_group[id(group)], schedulers.setdefault(key(group, answer), {})
        figures["place"] = arm.place
        figures |= {name: _finite(mean) for name, mean in group.means().items()}
        if findings.units is not None:
            readable = findings.units.figures(group.figures(TEST_LOSS))
            figures |= {f"test_{name}": _finite(figure) for name, figure in readable.items()}
        figures["sd"] = _finite(standard_deviation(group.figures(arm.metric)))
        figures["bound"] = _finite(arm.bound)
        if comparison := arm.comparison:
            figures["verdict"] = comparison.verdict
            figures["difference"] = _finite(comparison.gain)
            figures["low"] = _finite(comparison.low)
            figures["high"] = _finite(comparison.high)
            figures["p"] = _finite(comparison.p)
        figures["seeds"] = len(group.records)
        figures["lr"] = group.run.lr
        for outcome in FAILED:
            figures[outcome] = group.count(outcome)
    _write_json(path, schedulers)


def _gains(comparison: Comparison | None) -> dict[str, float | None]:
    """Return the leader's gain over the baseline and its interval; None stands for an unknown or infinite value."""
    if comparison is None:
        return {"gain": None, "low": None, "high": None}
    return {name: _gain(getattr(comparison, name), comparison.metric) for name in ("gain", "low", "high")}


def _gain(difference: float, metric: Metric) -> float | None:
    """Return a gain, in percentage points for a share and in per cent for a loss, or None if it is not finite."""
    if not math.isfinite(difference):
        return None
    if metric.is_share:
        return _rounded(round(100 * difference, 2))
    # Limit the exponent to avoid an overflow. A loss ratio above e^50 is written as e^50.
    return _rounded(round(metric.sign * 100 * math.expm1(min(metric.sign * difference, 50.0)), 2))


def _mean(group: Group, metric: Metric) -> float | None:
    """Return the mean of a metric over the seeds, in per cent for a share, or None if the mean is not finite."""
    mean = group.mean(metric)
    return _rounded(100 * mean if metric.is_share else mean)


def _rounded(figure: float) -> float | None:
    return float(f"{figure:.{DIGITS}g}") + 0.0 if math.isfinite(figure) else None  # + 0.0 turns -0.0 into 0.0


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None  # JSON has neither NaN nor infinity


def _write_json(path: Path, content: dict[str, Any]) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")
