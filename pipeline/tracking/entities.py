"""MLflow's entities, made from ours."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter

from pipeline.comparison.learning_curves import learning_curve
from pipeline.datasets import Language, Summary, Target
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import TEST_LOSS, Figures
from pipeline.runs.params import Run
from pipeline.runs.records import Record
from pipeline.tracking.client import Dataset, DatasetInput, InputTag, Metric, Param

PARTS = ("train", "val", "test")
"""The parts of the data that a figure's name may begin with."""
MOST = 800
"""Metrics in one request: MLflow takes 1,000 entities, at most 100 of which are parameters and 100 tags."""


def metric_name(figure: str) -> str:
    """Return MLflow's name of a figure: `test_loss` is `test/loss`; `lr` is of no part of the data, and stays."""
    part, _, name = figure.partition("_")
    return f"{part}/{name}" if part in PARTS else figure


def epoch_figures(epoch: Epoch) -> dict[str, float]:
    """Return the figures of an epoch by MLflow's names, the learning rate among them."""
    return {"lr": epoch.lr} | {metric_name(name): value for name, value in epoch.figures.items()}


def mean_figures(runs: Sequence[Figures], units: Target | Language | None) -> dict[str, float]:
    """Return the means over runs of their figures on the test set, by MLflow's names.

    Args:
        runs: the test figures of each run.
        units: turns losses into figures that are easier to read, such as RMSE or perplexity.
    """
    names = [name for name in runs[0] if all(name in figures for figures in runs)]
    figures = {metric_name(name): statistics.fmean(figures[name] for figures in runs) for name in names}
    readable = {} if units is None else units.figures([figures[TEST_LOSS.name] for figures in runs])
    return figures | {metric_name(f"test_{name}"): figure for name, figure in readable.items()}


def run_params(run: Run) -> list[Param]:
    """Return every setting of a run."""
    return [Param(key, "null" if value is None else str(value)) for key, value in run.flat().items()]


def epoch_metrics(epochs: Sequence[Epoch], started: float, per_epoch: float) -> list[Metric]:
    """Return the figures of epochs as metrics, step = epoch.

    Args:
        epochs: of a run.
        started: when the run started, in seconds since 1970.
        per_epoch: seconds of an epoch; all are taken to be equally long.
    """
    return [
        Metric(name, value, round(1000 * (started + per_epoch * epoch.epoch)), epoch.epoch)
        for epoch in epochs
        for name, value in epoch_figures(epoch).items()
    ]


def final_metrics(figures: Mapping[str, float | None], time: int) -> list[Metric]:
    """Return figures of a whole run, without those that are None, as metrics; ``time`` in milliseconds since 1970."""
    # MLflow draws a metric that only has step 0 as a bar, not as a curve.
    return [Metric(name, float(value), time, 0) for name, value in figures.items() if value is not None]


def in_batches(metrics: Iterable[Metric]) -> list[list[Metric]]:
    """Divide metrics into requests, at least one; all metrics of an epoch stay together."""
    batches: list[list[Metric]] = [[]]
    for _, group in groupby(metrics, key=attrgetter("step")):
        epoch = list(group)
        if len(batches[-1]) + len(epoch) > MOST:
            batches.append([])
        batches[-1] += epoch
    return batches


def curve_figures(record: Record) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return what the learning curve of a run shows, as figures and as tags."""
    curve = learning_curve(record)
    return {"best_epoch": curve.best_epoch, "gap": curve.gap}, {"learning_curve": str(curve)}


def dataset_input(data: Summary, split: str) -> DatasetInput:
    """Return what `mlflow.log_input` would log of one split of the data."""
    dataset = Dataset(
        name=f"{data.dataset}-{split}",
        digest=data.digests[split][:36],  # MLflow's limit
        source_type="code",
        source=json.dumps({"source": data.source}),
        schema=json.dumps({"input_shape": data.input_shape, "classes": len(data.classes)}),
        profile=json.dumps({"examples": data.examples[split]}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", split)])
