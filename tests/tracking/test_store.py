"""Against a real MLflow store, a real server, and stores that fail."""

import json
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from pipeline import datasets
from pipeline.comparison.learning_curves import learning_curve
from pipeline.datasets import Summary
from pipeline.errors import ExternalError, UserError
from pipeline.runs.records import Score, Timing
from pipeline.tracking import charts, entities
from pipeline.tracking.bulk import Database
from pipeline.tracking.client import PROJECT
from pipeline.tracking.store import Store
from tests.helpers.project import ROOT
from tests.helpers.servers import mlflow_server
from tests.tracking.conftest import TIMING, Trained, only, open_store, wanted

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning"
)
SCORE = Score(0.25, 0.75)
FILES = {"model.safetensors", "curve.csv", "run.json"}


def test_a_run_is_logged_whole(root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "lucky-dog")
    record = trained.record
    store = open_store(root, summary)
    store.log([(record, trained.folder(record), TIMING)])
    store.log_evaluation(record, trained.folder(record), SCORE, [])

    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    run = client.get_run(only(store, record).info.run_id)
    assert (run.info.run_name, run.info.status) == ("sequential-s0", "FINISHED")
    assert run.info.end_time - run.info.start_time == pytest.approx(1000 * TIMING.seconds, abs=2)
    assert run.data.params == {param.key: param.value for param in entities.run_params(record.run)}
    for field, name in entities.METRICS.items():
        history = client.get_metric_history(run.info.run_id, name)
        assert [(each.step, each.value) for each in history] == [
            (epoch.epoch, getattr(epoch, field)) for epoch in record.epochs
        ]
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
    assert {each.dataset.name for each in run.inputs.dataset_inputs} == {"digits-train", "digits-val", "digits-test"}
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {*FILES, "parameters.json"}
    assert run.info.artifact_uri.startswith((root / "mlartifacts").as_uri())


def test_no_run_is_logged_twice(
    root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor are its figures; the tag of a run names every DVC experiment that it is part of."""
    ids = []
    for experiment in ("first", "second", "second", ""):
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
        store = open_store(root, summary)
        for record in (trained.record, trained.diverged):
            store.log([(record, trained.folder(record), TIMING)])
            store.log_evaluation(record, trained.folder(record), SCORE, [])
            ids.append(only(store, record).info.run_id)
    assert ids == ids[:2] * 4
    assert store.client.get_run(ids[0]).data.tags["dvc.exp_name"] == "first, second"
    assert len(store.client.get_metric_history(ids[0], "test/loss")) == 1
    assert len(store.client.get_metric_history(ids[1], "gap")) == 1
    other = replace(trained.record, fingerprint="another")
    store.log([(other, trained.folder(trained.record), TIMING)])
    assert only(store, other).info.run_id not in ids


def test_a_run_that_was_logged_in_part_is_completed(
    root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the store fails in the middle, the run does not stay running, and the next attempt continues it."""
    monkeypatch.setattr(Database, "is_known", False)  # which logs a run whole or not at all
    record = trained.record
    lines: list[str] = []
    store = open_store(root, summary, lines.append)
    (root / "mlartifacts").write_text("in the way")
    store.log([(record, trained.folder(record), TIMING)])
    assert store.outage.lasts
    assert len(lines) == 1
    assert only(store, record).info.status == "FAILED"
    (root / "mlartifacts").unlink()

    store = open_store(root, summary)
    assert store.lacks(record)
    store.log_evaluation(record, trained.folder(record), SCORE, [])
    run = only(store, record)
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "finished")
    assert not store.lacks(record)
    assert store.lacks(trained.other)
    assert len(store.client.get_metric_history(run.info.run_id, "lr")) == len(record.epochs)


def test_a_run_that_is_logged_late_has_the_times_of_its_training(
    root: Path, summary: Summary, trained: Trained
) -> None:
    timing = Timing(1_600_000_000.0, 10.0)
    store = Store(root, "digits-mlp", wanted().run_task, summary, pytest.fail, lambda record: timing)
    store.log([(trained.record, trained.folder(trained.record), None)])
    info = only(store, trained.record).info
    assert (info.start_time, info.end_time) == (1_600_000_000_000, 1_600_000_010_000)


def test_a_run_that_failed_says_why_until_it_is_trained(root: Path, summary: Summary, trained: Trained) -> None:
    record = trained.record
    store = open_store(root, summary)
    for _ in range(2):
        store.log_failure(record.run, record.fingerprint, "a worker process was ended from outside")
        run = only(store, record)
        assert run.info.status == "FAILED"
        assert run.data.tags["outcome"] == "failed: a worker process was ended from outside"
        assert run.data.params["seed"] == "0"
    store.log([(record, trained.folder(record), TIMING)])
    assert only(store, record).data.tags["outcome"] == "finished"
    store.log_failure(record.run, record.fingerprint, "too late")
    assert only(store, record).info.status == "FINISHED"


def test_a_run_that_a_killed_process_was_logging_is_marked_as_killed(root: Path, summary: Summary) -> None:
    store = open_store(root, summary)
    runs = [
        store.client.create_run(store.experiment, tags={PROJECT: project}).info.run_id
        for project in (f"{socket.gethostname()}:{root}", "elsewhere:/home")
    ]
    open_store(root, summary)
    assert [store.client.get_run(run).info.status for run in runs] == ["KILLED", "RUNNING"]


def test_the_commit_of_the_project_is_a_tag(root: Path, summary: Summary, trained: Trained) -> None:
    def git(*command: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(["git", *identity, *command], cwd=root, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    store = open_store(root, summary)
    store.log([(trained.record, trained.folder(trained.record), TIMING)])
    tags = only(store, trained.record).data.tags
    assert tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")


def test_a_diverged_run_is_logged_as_such(root: Path, summary: Summary, trained: Trained) -> None:
    store = open_store(root, summary)
    store.log([(trained.diverged, trained.folder(trained.diverged), TIMING)])
    run = only(store, trained.diverged)
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "diverged")


def test_the_experiment_has_its_note_and_its_view(root: Path, summary: Summary) -> None:
    store = open_store(root, summary)
    tags = store.client.get_experiment(store.experiment).tags
    assert charts.experiment_tags(wanted().run_task, summary).items() <= tags.items()


def test_a_server_that_is_down_is_reported_before_anything_is_written(
    tmp_path: Path, summary: Summary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UserError, match=r"the store http://127\.0\.0\.1:9 cannot be used \(.*refused"):
        open_store(tmp_path, summary)
    assert not (tmp_path / "mlflow.db").exists()


def test_a_store_that_fails_later_is_reported_once(root: Path, summary: Summary, trained: Trained) -> None:
    lines: list[str] = []
    store = open_store(root, summary, lines.append)
    (root / "mlflow.db").unlink()
    for record in trained.records:
        store.log([(record, trained.folder(record), TIMING)])
    assert store.outage.lasts
    (line,) = lines
    assert "`uv run pipeline track` logs what it lacks" in line
    assert "\n" not in line
    with pytest.raises(ExternalError, match=r"the store .* failed"):
        store.lacks(trained.record)


@pytest.mark.slow
def test_a_server_takes_it_all(
    tmp_path: Path,
    empty_store: Path,
    digits: Path,
    summary: Summary,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A real MLflow server over HTTP, which keeps the artifacts too."""
    record, folder = trained.record, trained.folder(trained.record)
    with mlflow_server(tmp_path, empty_store) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        store = open_store(tmp_path, summary)
        store.log_evaluation(record, folder, SCORE, [])
        store.publish(record, folder, digits)
        run_id = only(store, record).info.run_id
        client = MlflowClient(uri)
        assert {file.path for file in client.list_artifacts(run_id)} == {*FILES, "parameters.json"}
        assert client.get_run(run_id).data.metrics["test/accuracy"] == 0.75
        assert len(client.get_metric_history(run_id, "lr")) == 3
        (logged,) = client.search_logged_models([store.experiment])
        model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
        assert model.predict(datasets.example(digits)).shape == (1, 10)
        assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.slow
def test_four_processes_create_one_store_together(tmp_path: Path, digits: Path) -> None:
    """Forked from one that has imported MLflow, they begin at the same moment."""
    script = (
        "import json, os, sys, traceback\n"
        "from pathlib import Path\n"
        "from pipeline import datasets; from pipeline.runs import params\n"
        "from pipeline.tracking.store import Store\n"
        "wanted, summary = params.load(), datasets.summary(Path(sys.argv[2]))\n"
        "def create():\n"
        "    try: Store(Path(sys.argv[1]), wanted.task, wanted.run_task, summary, sys.exit)\n"
        "    except BaseException: traceback.print_exc(); os._exit(1)\n"
        "    os._exit(0)\n"
        "children = [os.fork() or create() for _ in range(4)]\n"
        "print(json.dumps([os.waitpid(child, 0)[1] for child in children]))\n"
    )
    (tmp_path / "root").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "root"), str(digits)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout) == [0] * 4, done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/root/mlflow.db")
    assert [each.name for each in client.search_experiments()] == ["digits-mlp", "Default"]
