"""An experiment's page in MLflow: a note on the task, and charts with one line per scheduler."""

import json
from typing import Any

from pipeline.data import Summary
from pipeline.settings.tasks import Task

NOTE = "mlflow.note.content"
"""The tag that MLflow shows at the top of the page of an experiment or a run."""
VIEW = "schedulers"
"""The name of the experiment's shared view, which draws the mean over seeds as one line per scheduler."""
CHARTS = (
    ("LINE", "lr"),
    ("BAR", "test/accuracy"),
    ("LINE", "val/loss"),
    ("LINE", "train/loss"),
    ("LINE", "val/accuracy"),
    ("BAR", "test/loss"),
)
"""MLflow's kind of chart and the metric that it shows, in the view's order."""


def experiment_tags(task: Task, data: Summary) -> dict[str, str]:
    """Return the tags of a task's experiment: its note, and the shared view that `pipeline.tracking.ui` links to."""
    return {
        NOTE: note(task, data),
        "mlflow.experimentKind": "custom_model_development",
        f"mlflow.sharedViewState.{VIEW}": json.dumps(_shared_view()),
    }


def note(task: Task, data: Summary) -> str:
    """Describe a task in Markdown."""
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.examples.items())
    classes = f", {len(data.classes)} classes" if data.classes else ""
    model = ", ".join(f"{key} {value}" for key, value in task.model.model_dump().items() if key != "name")
    optimizers = task.optimizer if isinstance(task.optimizer, str) else " and ".join(task.optimizer)
    rates = task.rates
    at = f"base LR {rates[0]:g}" if len(rates) == 1 else f"base LRs {', '.join(f'{rate:g}' for rate in rates)}"
    return (
        f"**{task.model.name}** ({model}) on **{data.dataset}** ({sizes} examples{classes}, "
        f"from {data.source}): {task.loss}, {optimizers} at {at}, {task.epochs} epochs, "
        f"batch size {task.batch_size}. Every scheduler gets the same initial weights and batches, seed by seed."
    )


def _shared_view() -> dict[str, Any]:
    """Return the state of MLflow's charts page, as its UI stores it."""
    return {
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "scheduler"}]},
        "groupsExpanded": {},
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "compareRunCharts": [_chart(kind, metric) for kind, metric in CHARTS],
        "compareRunSections": [{"uuid": VIEW, "name": "schedulers", "display": True}],
    }


def _chart(kind: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": metric,
        "type": kind,
        "metricSectionId": VIEW,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "runsCountToCompare": 100,
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
    }
