"""Functions that create the note and the charts that this project adds to an experiment's page in MLflow."""

import json
from typing import Any

from pipeline.datasets import Summary
from pipeline.runs.task import Task
from pipeline.tracking.client import GROUP, KIND, OWN_LR

NOTE = "mlflow.note.content"
"""The tag whose text MLflow shows at the top of the page of an experiment or a run."""
VIEW = "mlflow.sharedViewState."
"""The prefix of the tags that hold the views of an experiment. The link to a view omits this prefix."""
OWN = "-own"
"""The suffix of the tag for the view that shows each scheduler at its own base LR."""
SECTION = "schedulers"
"""The name of the section of MLflow's charts page that contains this project's charts."""
MOST = 100
"""The maximum number of runs that MLflow's charts load."""
CHARTS = (
    ("LINE", "lr"),
    ("BAR", "test/accuracy"),
    ("LINE", "val/loss"),
    ("LINE", "train/loss"),
    ("LINE", "val/accuracy"),
    ("BAR", "test/loss"),
    ("BAR", "test/r2"),
    ("BAR", "test/rmse"),
    ("BAR", "test/perplexity"),
)
"""The kind and the metric of each chart, in the order in which the page shows them."""


def note(task: Task, data: Summary) -> str:
    """Return a Markdown description of a task."""
    sizes = ", ".join(f"{count:,} {split}" for split, count in data.examples.items())
    classes = f", {len(data.classes)} classes" if data.classes else ""
    model = ", ".join(f"{key} {value}" for key, value in task.model.model_dump().items() if key != "name")
    optimizers = task.optimizer if isinstance(task.optimizer, str) else " and ".join(task.optimizer)
    rates = task.rates
    at = f"base LR {rates[0]:g}" if len(rates) == 1 else f"base LRs {', '.join(f'{rate:g}' for rate in rates)}"
    budget = ", ".join([f"batch size {task.batch_size}", *task.describe_options()])
    return (
        f"**{task.model.name}** ({model}) on **{data.dataset}** ({sizes} examples{classes}, "
        f"from {data.source}): {task.loss}, {optimizers} at {at}, {task.epochs} epochs, "
        f"{budget}. For a given seed, every scheduler gets the same initial weights and batches."
    )


def views(sweep: str, groups: int) -> dict[str, str]:
    """Return experiment tags that hold two views of a sweep: all groups, and each scheduler at its own base LR.

    ``groups`` is the number of groups. If MLflow's charts cannot load all groups, both views show only the groups that
    were trained at their scheduler's own base LR.
    """
    return {VIEW + sweep: _view(sweep, groups > MOST), VIEW + sweep + OWN: _view(sweep, True)}


def _view(sweep: str, own_only: bool) -> str:
    """Return a view of a sweep's mean curves, as JSON for MLflow's charts page."""
    groups = f"tags.{KIND} = '{GROUP}' and tags.sweep = '{sweep}'"
    if own_only:
        groups += f" and tags.{OWN_LR} = 'true'"
    return json.dumps(
        {
            "searchFilter": groups,
            "orderByKey": "attributes.start_time",
            "orderByAsc": True,
            "startTime": "ALL",
            "lifecycleFilter": "Active",
            "datasetsFilter": [],
            "modelVersionFilter": "All Runs",
            "groupBy": None,
            "groupsExpanded": {},
            "runsHiddenMode": "SHOW_ALL",
            "useGroupedValuesInCharts": False,
            "hideEmptyCharts": True,
            "compareRunCharts": [_chart(kind, metric) for kind, metric in CHARTS],
            "compareRunSections": [{"uuid": SECTION, "name": SECTION, "display": True}],
        }
    )


def _chart(kind: str, metric: str) -> dict[str, Any]:
    return {
        "uuid": metric,
        "type": kind,
        "metricSectionId": SECTION,
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "runsCountToCompare": MOST,
        "lineSmoothness": 0,
        "scaleType": "linear",
        "xAxisKey": "step",
        "xAxisScaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
    }
