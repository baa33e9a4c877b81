"""MLflow's parameters, metrics and data sets of a run."""

import json

from pipeline.datasets import Summary
from pipeline.tracking import entities
from tests.tracking.conftest import TIMING, Trained


def test_every_setting_of_a_run_is_a_parameter(trained: Trained) -> None:
    params = {param.key: param.value for param in entities.run_params(trained.record.run)}
    flat = trained.record.run.flat()
    assert params == {key: "null" if value is None else str(value) for key, value in flat.items()}
    assert params["scheduler.schedulers.0.class"] == "ConstantLR"
    assert params["train_subset"] == "null"


def test_every_figure_of_an_epoch_is_a_metric(trained: Trained) -> None:
    record = trained.record
    metrics = entities.epoch_metrics(record.epochs, TIMING.started, TIMING.seconds / len(record.epochs))
    assert [(each.key, each.step, each.value) for each in metrics] == [
        (name, epoch.epoch, getattr(epoch, field))
        for epoch in trained.record.epochs
        for field, name in entities.METRICS.items()
    ]
    times = [each.timestamp for each in metrics]
    assert times == sorted(times)
    assert times[-1] == round(1000 * (TIMING.started + TIMING.seconds))


def test_the_data_set_is_known_by_its_digest(summary: Summary) -> None:
    found = entities.dataset_input(summary, "train")
    assert found.dataset.name == "digits-train"
    assert found.dataset.digest == summary.digests["train"][:36]
    assert json.loads(found.dataset.profile or "") == {"examples": 1077}
    assert [(tag.key, tag.value) for tag in found.tags] == [("mlflow.data.context", "train")]
