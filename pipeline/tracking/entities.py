"""MLflow's entities made from ours."""

import json
from collections.abc import Iterator, Mapping, Sequence

from pipeline.comparison.learning_curves import learning_curve
from pipeline.datasets import Language, Summary, Target
from pipeline.runs import params
from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record
from pipeline.tracking.client import Dataset, DatasetInput, InputTag, Metric, Param

METRICS = {"lr": "lr", "train_loss": "train/loss", "val_loss": "val/loss", "val_accuracy": "val/accuracy"}
"""MLflow's name of each figure of an epoch."""
BATCH = 960
"""Metrics that are logged at once, whole epochs of three or four figures each; MLflow takes 1,000."""


def run_params(run: params.Run) -> list[Param]:
    """Return every setting of a run."""
    return [Param(key, "null" if value is None else str(value)) for key, value in run.flat().items()]


def epoch_metrics(epochs: Sequence[Epoch], started: float, per_epoch: float) -> list[Metric]:
    """Return the figures of epochs, step = epoch.

    Args:
        epochs: of a run.
        started: when it was, in seconds since 1970.
        per_epoch: the seconds that an epoch takes; for MLflow, all take equally long.
    """
    return [
        Metric(name, getattr(epoch, field), round(1000 * (started + per_epoch * epoch.epoch)), epoch.epoch)
        for epoch in epochs
        for field, name in METRICS.items()
        if getattr(epoch, field) is not None
    ]


def in_batches(metrics: Sequence[Metric]) -> Iterator[Sequence[Metric]]:
    """Divide metrics into as many as MLflow takes at once; all of an epoch stay together."""
    for first in range(0, len(metrics), BATCH):
        yield metrics[first : first + BATCH]


def curve_figures(record: Record) -> tuple[dict[str, float | None], dict[str, str]]:
    """Return what the learning curve of a run comes to, as figures and as tags."""
    curve = learning_curve(record)
    return {"best_epoch": curve.best_epoch, "gap": curve.gap}, {"learning_curve": str(curve)}


def final_metrics(figures: Mapping[str, float | None], time: int) -> list[Metric]:
    """Return figures of a whole run, without those that are None; ``time`` in milliseconds since 1970."""
    # Step 0 tells MLflow to draw a bar, not a curve.
    return [Metric(name, float(value), time, 0) for name, value in figures.items() if value is not None]


def readable_figures(units: Target | Language | None, losses: Sequence[float]) -> dict[str, float]:
    """Return the means over runs of what these test losses come to, such as RMSE or perplexity; none without units."""
    return {} if units is None else {f"test/{name}": figure for name, figure in units.figures(losses).items()}


def dataset_input(data: Summary, split: str) -> DatasetInput:
    """Return what `mlflow.log_input` would log of one split of the data."""
    dataset = Dataset(
        name=f"{data.dataset}-{split}",
        digest=data.digests[split][:36],  # the most that MLflow takes
        source_type="code",
        source=json.dumps({"source": data.source}),
        schema=json.dumps({"input_shape": data.input_shape, "classes": len(data.classes)}),
        profile=json.dumps({"examples": data.examples[split]}),
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", split)])
