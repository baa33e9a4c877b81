"""The parameters, metrics and data sets that MLflow stores for a run."""

import json
from itertools import pairwise

import pytest

from pipeline.datasets import Summary
from pipeline.runs.metric import network_figures
from pipeline.tracking import entities
from pipeline.tracking.client import Metric
from tests.tracking.conftest import TIMING, Trained


def test_every_setting_of_a_run_is_a_parameter(trained: Trained) -> None:
    params = {param.key: param.value for param in entities.run_params(trained.record.run)}
    flat = trained.record.run.flat()
    assert params == {key: "null" if value is None else str(value) for key, value in flat.items()}
    assert params["scheduler.schedulers.0.class"] == "ConstantLR"
    assert params["train_subset"] == "null"


@pytest.mark.parametrize(
    ("figure", "name"),
    [
        *(("train_loss", "train/loss"), ("val_accuracy", "val/accuracy"), ("test_loss", "test/loss"), ("lr", "lr")),
        *(("test_bits_per_character", "test/bits_per_character"), ("word_error_rate", "word_error_rate")),
    ],
)
def test_mlflows_name_of_a_figure_starts_with_the_split(figure: str, name: str) -> None:
    assert entities.metric_name(figure) == name


def test_test_figures_are_means_without_figures_that_a_task_lacks() -> None:
    scores = [network_figures(0.25, 0.5), network_figures(0.75, 1.0)]
    assert entities.mean_figures(scores, None) == {"test/loss": 0.5, "test/accuracy": 0.75}
    assert entities.mean_figures([network_figures(0.25, None)], None) == {"test/loss": 0.25}


def test_a_request_has_whole_epochs_and_at_most_800_metrics() -> None:
    metrics = [Metric(f"figure {number}", 0.5, 0, step) for step in range(1, 400) for number in range(7)]
    batches = entities.in_batches(metrics)
    assert [metric for batch in batches for metric in batch] == metrics
    assert all(len(batch) <= 800 for batch in batches)
    assert len(batches) == 4
    ends = [(batch[0].step, batch[-1].step) for batch in batches]
    assert all(last < first for (_, last), (first, _) in pairwise(ends))
    assert entities.in_batches([]) == [[]]


def test_every_figure_of_an_epoch_is_a_metric(trained: Trained) -> None:
    record = trained.record
    metrics = entities.epoch_metrics(record.epochs, TIMING.started, TIMING.seconds / len(record.epochs))
    assert [(metric.key, metric.step, metric.value) for metric in metrics] == [
        (name, epoch.epoch, value)
        for epoch in record.epochs
        for name, value in {
            "lr": epoch.lr,
            "train/loss": epoch.train_loss,
            "val/loss": epoch.val_loss,
            "val/accuracy": epoch.val_accuracy,
        }.items()
    ]
    times = [each.timestamp for each in metrics]
    assert times == sorted(times)
    assert times[-1] == round(1000 * (TIMING.started + TIMING.seconds))


def test_the_data_set_has_its_digest(summary: Summary) -> None:
    found = entities.dataset_input(summary, "train")
    assert found.dataset.name == "digits-train"
    assert found.dataset.digest == summary.digests["train"][:36]
    assert json.loads(found.dataset.profile or "") == {"examples": 1077}
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "train")]
