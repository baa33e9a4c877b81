"""Functions that convert this project's runs, epochs and figures to MLflow's params, metrics and data sets."""

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
"""The splits of the data. A figure's name may begin with the name of a split, as in `test_loss`."""
MOST = 800
"""The maximum number of metrics per request. A request may have 1,000 entries, so 200 remain for params and tags."""


def metric_name(figure: str) -> str:
    """Return MLflow's name for a figure, such as `test/loss` for `test_loss`; a name without a split stays the same."""
    part, _, name = figure.partition("_")
    return f"{part}/{name}" if part in PARTS else figure


def epoch_figures(epoch: Epoch) -> dict[str, float]:
    """Return the learning rate and the figures of an epoch, keyed by MLflow's names."""
    return {"lr": epoch.lr} | {metric_name(name): value for name, value in epoch.figures.items()}


def mean_figures(runs: Sequence[Figures], units: Target | Language | None) -> dict[str, float]:
    """Return the mean test figures of runs, and readable figures such as RMSE, keyed by MLflow's names."""
    names = [name for name in runs[0] if all(name in figures for figures in runs)]
    figures = {metric_name(name): statistics.fmean(figures[name] for figures in runs) for name in names}
    readable = {} if units is None else units.figures([figures[TEST_LOSS.name] for figures in runs])
    return figures | {metric_name(f"test_{name}"): figure for name, figure in readable.items()}


def run_params(run: Run) -> list[Param]:
    """Return all settings of a run as MLflow params."""
    return [Param(key, "null" if value is None else str(value)) for key, value in run.flat().items()]


def epoch_metrics(epochs: Sequence[Epoch], started: float, per_epoch: float) -> list[Metric]:
    """Return the figures of a run's epochs as metrics; the step of a metric is the number of its epoch.

    The run started at ``started``, in seconds since 1970, and an epoch takes ``per_epoch`` seconds on average.
    """
    return [
        Metric(name, value, round(1000 * (started + per_epoch * epoch.epoch)), epoch.epoch)
        for epoch in epochs
        for name, value in epoch_figures(epoch).items()
    ]


def final_metrics(figures: Mapping[str, float | None], time: int) -> list[Metric]:
    """Return the figures of a whole run as metrics, skipping None; ``time`` is in milliseconds since 1970."""
    # If a metric has only step 0, MLflow draws it as a bar instead of a curve.
    return [Metric(name, float(value), time, 0) for name, value in figures.items() if value is not None]


def in_batches(metrics: Iterable[Metric]) -> list[list[Metric]]:
    """Split metrics into requests, keeping all metrics of an epoch in the same request."""
    batches: list[list[Metric]] = [[]]
    for _, group in groupby(metrics, key=attrgetter("step")):
        epoch = list(group)
        if len(batches[-1]) + len(epoch) > MOST:
            batches.append([])
        batches[-1] += epoch
    return batches


def curve_figures(record: Record) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return the figures and the tags that describe the learning curve of a run."""
    curve = learning_curve(record)
    return {"best_epoch": curve.best_epoch, "gap": curve.gap}, {"learning_curve": str(curve)}


def dataset_input(data: Summary, split: str) -> DatasetInput:
    """Return a description of one split of the data, in the form that MLflow's function `log_inputs` takes."""
    dataset = Dataset(
        name=f"{data.dataset}-{split}",
        digest=data.digests[split][:36],  # MLflow's limit is 36 characters
        source_type="code",
        source=json.dumps({"source": data.source}),
        schema=json.dumps({"input_shape": data.input_shape, "classes": len(data.classes)}),
        profile=json.dumps({"examples": data.examples[split]}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", split)])
