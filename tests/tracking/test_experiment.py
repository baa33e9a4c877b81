"""How runs are logged to MLflow: to a real store and to a real server."""

import json
import socket
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from pipeline import datasets
from pipeline.comparison.learning_curves import learning_curve
from pipeline.files import write_text
from pipeline.runs.metric import network_figures
from pipeline.runs.records import Timing
from pipeline.sweep import cache
from pipeline.tracking import bulk, charts, entities
from pipeline.tracking.client import PROJECT
from pipeline.tracking.experiment import Experiment, TrackedSweep, git_commit
from tests.helpers.project import FOREIGN
from tests.helpers.servers import mlflow_server
from tests.tracking.conftest import TIMING, Trained, log, only, open_experiment, open_tracker, steps, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)
SCORE = network_figures(0.25, 0.75)
FILES = {"model.safetensors", "curve.csv", "run.json"}


def test_a_run_is_logged_completely(sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "lucky-dog")
    record, root = trained.record, sweep.root
    experiment = open_experiment(sweep)
    log(experiment, record)
    experiment.log_evaluation(record, SCORE, [])

    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    run = client.get_run(only(root, record).info.run_id)
    assert (run.info.run_name, run.info.status) == ("sequential-s0", "FINISHED")
    assert run.info.end_time - run.info.start_time == pytest.approx(1000 * TIMING.seconds, abs=2)
    assert run.data.params == {param.key: param.value for param in entities.run_params(record.run)}
    names = {"lr": "lr", "train_loss": "train/loss", "val_loss": "val/loss", "val_accuracy": "val/accuracy"}
    for field, name in names.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [(metric.step, metric.value) for metric in history] == [
            (epoch.epoch, getattr(epoch, field)) for epoch in record.epochs
        ]
    assert set(run.data.metrics) == {*names.values(), "test/loss", "test/accuracy", "best_epoch", "gap"}
    assert (run.data.metrics["test/loss"], run.data.metrics["test/accuracy"]) == (0.25, 0.75)
    assert run.data.metrics["best_epoch"] == learning_curve(record).best_epoch
    tags = {
        "task": "digits-mlp",
        "scheduler": "sequential",
        "dvc.exp_name": "lucky-dog",
        "outcome": "finished",
        "device": "cpu",
        "torch": record.torch,
        "fingerprint": record.fingerprint,
        "learning_curve": str(learning_curve(record)),
    }
    assert tags.items() <= run.data.tags.items()
    assert run.inputs is not None
    names_of_data = {entry.dataset.name for entry in run.inputs.dataset_inputs}
    assert names_of_data == {"digits-train", "digits-val", "digits-test"}
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {*FILES, "parameters.json"}
    assert run.info.artifact_uri.startswith((root / "mlartifacts").as_uri())


def test_no_run_is_logged_twice(sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run's figures are not logged twice, either. A tag of the run names all of its DVC experiments."""
    ids = []
    for name in ("first", "second", "second", ""):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        experiment = open_experiment(sweep)
        for record in (trained.record, trained.diverged):
            log(experiment, record)
            experiment.log_evaluation(record, SCORE, [])
            ids.append(only(sweep.root, record).info.run_id)
    assert ids == ids[:2] * 4
    assert experiment.client.get_run(ids[0]).data.tags["dvc.exp_name"] == "first, second"
    assert len(experiment.client.get_metric_history(ids[0], "test/loss")) == 1
    assert len(experiment.client.get_metric_history(ids[1], "gap")) == 1
    other = replace(trained.record, fingerprint="another")
    log(experiment, other)
    assert only(sweep.root, other).info.run_id not in ids


def test_a_partly_logged_run_is_completed(
    sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the store fails while a run is being logged, the run is marked as failed; the next attempt completes it."""
    monkeypatch.setattr(bulk, "is_known", lambda uri: False)  # because the bulk writer never logs only a part
    record, root = trained.record, sweep.root
    (root / "mlartifacts").write_text("in the way")
    with pytest.raises(OSError, match="mlartifacts"):
        log(open_experiment(sweep), record)
    assert only(root, record).info.status == "FAILED"
    (root / "mlartifacts").unlink()

    experiment = open_experiment(sweep)
    assert not experiment.is_evaluated(record)
    experiment.log_evaluation(record, SCORE, [])
    run = only(root, record)
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "finished")
    assert open_tracker(sweep).lacking([record, trained.other]) == [trained.other]
    assert steps(root, record) == [epoch.epoch for epoch in record.epochs]


def test_a_run_that_is_logged_late_has_the_times_of_its_training(sweep: TrackedSweep, trained: Trained) -> None:
    """The times come from the run cache."""
    record, timing = trained.record, Timing(1_600_000_000.0, 10.0)
    entry = sweep.root / ".cache" / cache.RUNS / record.fingerprint
    entry.mkdir(parents=True)
    write_text(entry / cache.TIMING, json.dumps(asdict(timing)))
    open_experiment(sweep).finish([(record, None)])
    info = only(sweep.root, record).info
    assert (info.start_time, info.end_time) == (1_600_000_000_000, 1_600_000_010_000)


def test_a_failed_run_has_its_reason_until_it_is_trained(root: Path, experiment: Experiment, trained: Trained) -> None:
    record = trained.record
    for _ in range(2):
        experiment.fail(record.run, record.fingerprint, "a worker process was killed")
        run = only(root, record)
        assert run.info.status == "FAILED"
        assert run.data.tags["outcome"] == "failed: a worker process was killed"
        assert run.data.params["seed"] == "0"
    log(experiment, record)
    assert only(root, record).data.tags["outcome"] == "finished"
    experiment.fail(record.run, record.fingerprint, "too late")
    assert only(root, record).info.status == "FINISHED"


def test_a_run_left_running_by_a_killed_process_is_marked_as_killed(sweep: TrackedSweep) -> None:
    experiment = open_experiment(sweep)
    client = experiment.client
    runs = [
        client.create_run(experiment.id, tags={PROJECT: project}).info.run_id
        for project in (f"{socket.gethostname()}:{sweep.root}", "elsewhere:/home")
    ]
    open_experiment(sweep)
    assert [client.get_run(run).info.status for run in runs] == ["KILLED", "RUNNING"]


def test_the_commit_of_the_project_is_a_tag(sweep: TrackedSweep, trained: Trained) -> None:
    def git(*command: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(["git", *identity, *command], cwd=sweep.root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    assert git_commit(sweep.root) == ""  # this folder is not in a git repository
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    log(open_experiment(sweep), trained.record)
    assert only(sweep.root, trained.record).data.tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")


def test_a_diverged_run_is_logged_as_such(root: Path, experiment: Experiment, trained: Trained) -> None:
    log(experiment, trained.diverged)
    run = only(root, trained.diverged)
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "diverged")


def test_the_experiment_has_its_note(sweep: TrackedSweep, experiment: Experiment) -> None:
    tags = experiment.client.get_experiment(experiment.id).tags
    assert tags[charts.NOTE] == charts.note(wanted().run_task, sweep.data)
    assert tags["mlflow.experimentKind"] == "custom_model_development"


@pytest.mark.slow
def test_a_server_gets_runs_artifacts_and_models(
    sweep: TrackedSweep,
    empty_store: Path,
    digits: Path,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real MLflow server, which is reached over HTTP, stores the artifacts, too."""
    record, root = trained.record, sweep.root
    (root / "mlflow.db").unlink()
    with mlflow_server(root, empty_store) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        experiment = open_experiment(sweep)
        experiment.log_evaluation(record, SCORE, [])
        experiment.publish(record, digits)
        run_id = only(root, record).info.run_id
        client = MlflowClient(uri)
        assert {file.path for file in client.list_artifacts(run_id)} == {*FILES, "parameters.json"}
        assert client.get_run(run_id).data.metrics["test/accuracy"] == 0.75
        assert len(client.get_metric_history(run_id, "lr")) == 3
        (logged,) = client.search_logged_models([experiment.id])
        model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
        assert model.predict(datasets.example(digits)).shape == (1, 10)
        assert not (root / "mlflow.db").exists()
