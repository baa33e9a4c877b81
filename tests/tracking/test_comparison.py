"""A sweep's verdict and the mean curves of its groups are logged as MLflow runs."""

import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from mlflow.entities import Run

from pipeline.comparison.groups import grouped, sweep_groups
from pipeline.report import results_folder
from pipeline.report.wording import verdict
from pipeline.runs.metric import Figures, network_figures
from pipeline.runs.records import Record
from pipeline.tracking import charts
from pipeline.tracking.client import store_uri
from pipeline.tracking.experiment import Experiment, TrackedSweep
from tests.helpers.project import FOREIGN, tracked
from tests.tracking.conftest import Trained, open_experiment, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def log_verdict(experiment: Experiment, sweep: TrackedSweep, trained: Trained, loss: float, fingerprint: str) -> str:
    """Log the findings of two runs, the second of which has the test loss ``loss``; return the verdict."""
    report = sweep.root / "report"
    for name in results_folder.WRITTEN:
        (report / name).parent.mkdir(exist_ok=True)
        (report / name).touch()
    scored = [(trained.record, network_figures(0.5, None)), (trained.other, network_figures(loss, None))]
    findings = results_folder.find(sweep.params, sweep.data, scored)
    experiment.log_comparison(findings, fingerprint, report)
    return verdict(findings)


@pytest.fixture
def two(sweep: TrackedSweep) -> TrackedSweep:
    """A sweep that compares two schedulers by their test loss."""
    return replace(sweep, params=wanted(metric="test_loss", baseline="sequential"), fingerprint="abc")


def test_a_verdict_is_a_run(two: TrackedSweep, trained: Trained) -> None:
    experiment = open_experiment(two)
    assert not experiment.has_comparison("f")
    for _ in range(2):  # logging a verdict again changes nothing
        words = log_verdict(experiment, two, trained, 0.25, "f")
    (run,) = tracked(store_uri(two.root), comparison=True)
    assert run.info.status == "FINISHED"
    assert (run.data.tags["verdict"], run.data.tags["sweep"]) == (words, "abc")
    assert run.data.tags[charts.NOTE] == words
    assert run.data.metrics["difference/step"] == pytest.approx(math.log(2))
    assert run.data.metrics["runs"] == 2
    assert (run.data.params["scheduler"], run.data.params["seeds"]) == ("sequential, step", "1")
    assert len(experiment.client.get_metric_history(run.info.run_id, "runs")) == 1
    kept = {file.path for file in experiment.client.list_artifacts(run.info.run_id)}
    assert kept == {Path(name).parts[0] for name in results_folder.WRITTEN}
    assert experiment.has_comparison("f")
    assert not experiment.has_comparison("g")
    assert tracked(store_uri(two.root)) == []


def test_the_note_ends_with_the_latest_verdict(two: TrackedSweep, trained: Trained) -> None:
    experiment, uri = open_experiment(two), store_uri(two.root)
    assert experiment.last_verdict() == ""
    first = log_verdict(experiment, two, trained, 0.25, "f")
    assert experiment.last_verdict() == first.splitlines()[0]
    second = log_verdict(experiment, two, trained, 0.4, "f")  # replaces the verdict on the same runs
    assert second != first
    (run,) = tracked(uri, comparison=True)
    assert run.data.tags["verdict"] == second
    assert run.data.metrics["difference/step"] == pytest.approx(math.log(5 / 4))
    third = log_verdict(experiment, two, trained, 0.75, "g")
    assert len(tracked(uri, comparison=True)) == 2
    for opened in (experiment, open_experiment(two)):  # opening the experiment again keeps the verdict
        note = opened.client.get_experiment(opened.id).tags[charts.NOTE]
        assert note == f"{charts.note(two.params.run_task, two.data)}\n\n{third}"


def seeds(record: Record, count: int) -> list[tuple[Record, Figures]]:
    """Return a group of copies of a run, with different losses for each seed."""
    group = []
    for seed in range(count):
        epochs = [
            replace(epoch, figures={**epoch.figures, "val_loss": epoch.figures["val_loss"] + seed})
            for epoch in record.epochs
        ]
        run = record.run.with_seed(seed)
        group.append((replace(record, run=run, epochs=epochs, fingerprint=str(seed)), network_figures(1.0 + seed, 0.5)))
    return group


def groups_in(experiment: Experiment) -> dict[str, Run]:
    runs = experiment.client.search_runs([experiment.id], "tags.kind = 'group'")
    return {run.info.run_name or "": run for run in runs}


def test_each_group_is_one_curve_over_its_seeds(sweep: TrackedSweep, trained: Trained) -> None:
    record = trained.record
    experiment = open_experiment(replace(sweep, fingerprint="abc"))
    groups = sweep_groups(grouped([*seeds(record, 3), *seeds(trained.other, 1)]), is_auto=False)
    for _ in range(2):
        experiment.log_groups(groups)
    runs = groups_in(experiment)
    assert set(runs) == {"sequential (3 seeds)", "step (1 seed)"}
    run = runs["sequential (3 seeds)"]
    assert run.data.tags["sweep"] == "abc"
    assert run.data.params["seeds"] == "3"
    assert (run.data.metrics["test/loss"], run.data.metrics["test/accuracy"]) == (2.0, 0.5)
    curve = experiment.client.get_metric_history(run.info.run_id, "val/loss")
    assert [metric.step for metric in curve] == [1, 2, 3]
    assert [metric.value for metric in curve] == [
        pytest.approx(epoch.figures["val_loss"] + 1) for epoch in record.epochs
    ]
    low, high = (run.data.metrics[f"val/loss/{end}"] for end in ("low", "high"))
    assert fmean((low, high)) == pytest.approx(record.last.figures["val_loss"] + 1)
    assert high - low == pytest.approx(2.0)
    assert "val/loss/low" not in runs["step (1 seed)"].data.metrics  # a single seed has no band
    view = experiment.client.get_experiment(experiment.id).tags["mlflow.sharedViewState.abc"]
    assert json.loads(view)["searchFilter"] == "tags.kind = 'group' and tags.sweep = 'abc'"


def test_each_sweep_has_its_own_curves(sweep: TrackedSweep, trained: Trained) -> None:
    """A view shows only one sweep, even if there are several, for example after the model was edited."""
    groups = sweep_groups(grouped(seeds(trained.record, 2)), is_auto=False)
    for name in ("abc", "def"):
        experiment = open_experiment(replace(sweep, fingerprint=name))
        experiment.log_groups(groups)
    for name in ("abc", "def"):
        view = json.loads(experiment.client.get_experiment(experiment.id).tags[f"mlflow.sharedViewState.{name}"])
        (run,) = experiment.client.search_runs([experiment.id], view["searchFilter"])
        assert run.data.tags["sweep"] == name
