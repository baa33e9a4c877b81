"""Against a real MLflow store, and a real server that is not there."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline import data, records
from pipeline.comparison.learning_curves import learning_curve
from pipeline.data import Summary
from pipeline.errors import UserError
from pipeline.params import Params, Run
from pipeline.records import Record, Score, Timing
from pipeline.sweep.jobs import Train
from pipeline.sweep.pool import Workers
from pipeline.tracking import serving
from pipeline.tracking import store as tracking
from pipeline.tracking.store import Store
from pipeline.training import evaluation
from pipeline.training import loop as training
from tests.conftest import ROOT, load, mlflow_server, tracked

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning"
)

TIMING = Timing(1_700_000_000.0, 2.5)


def wanted(**changes: Any) -> Params:
    return load(**{"tasks__digits-mlp__epochs": 3, "scheduler": ["sequential", "step"], "seeds": 1, **changes})


def fail(line: str) -> None:
    pytest.fail(line)


def only(store: Store, record: Record) -> mlflow.entities.Run:
    """The one run of a record in the store, whatever its status."""
    wanted = f"attributes.run_name = '{record.run.name}' and tags.fingerprint = '{record.fingerprint}'"
    (run,) = store.client.search_runs([store.experiment], wanted)
    return run


def open_store(root: Path, summary: Summary, warn: Any = fail) -> Store:
    return Store(root, "digits-mlp", wanted().run_task, summary, warn)


@pytest.fixture(scope="module")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    """Two runs, trained for real, and one that diverged."""
    models = tmp_path_factory.mktemp("models")
    runs: list[Run] = wanted().runs(1077) + wanted(scheduler="constant", lr=1e12).runs(1077)
    with Workers(1, "cpu") as workers:
        steps = list(workers.work(Train(digits, models, models / "cache"), [[run] for run in runs]))
    return models, [done.record for step in steps for done in step.result or ()]


def test_a_run_is_logged_whole(
    tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "lucky-dog")
    models, (record, _, _) = trained
    store = open_store(tmp_path, summary)
    store.log(record, models / record.run.name, TIMING)
    store.log_evaluation(record, models / record.run.name, Score(0.25, 0.75), [])
    run_id = only(store, record).info.run_id

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("sequential-s0", "FINISHED")
    assert run.info.end_time - run.info.start_time == pytest.approx(1000 * TIMING.seconds, abs=2)
    assert run.data.params == {key: "null" if value is None else str(value) for key, value in record.run.flat().items()}
    assert run.data.params["scheduler.schedulers.0.class"] == "ConstantLR"
    for metric, field in tracking.METRICS.items():
        history = client.get_metric_history(run_id, field)
        assert [(each.step, each.value) for each in history] == [
            (epoch.epoch, getattr(epoch, metric)) for epoch in record.epochs
        ]
    assert (run.data.metrics["test/loss"], run.data.metrics["test/accuracy"]) == (0.25, 0.75)
    tags = {
        "task": "digits-mlp",
        "scheduler": "sequential",
        "dvc.exp_name": "lucky-dog",
        "outcome": "finished",
        "device": "cpu",
    }
    assert tags.items() <= run.data.tags.items()
    assert {"torch", "fingerprint"} <= set(run.data.tags)
    inputs = {each.dataset.name: each.dataset.digest for each in run.inputs.dataset_inputs}
    assert set(inputs) == {"digits-train", "digits-val", "digits-test"}
    assert summary.digests["train"].startswith(inputs["digits-train"])
    assert {file.path for file in client.list_artifacts(run_id)} == {
        "model.safetensors",
        "curve.csv",
        "run.json",
        "parameters.json",
    }
    assert run.data.tags["learning_curve"] == str(learning_curve(record))
    assert run.data.metrics["best_epoch"] == learning_curve(record).best_epoch
    assert run.info.artifact_uri.startswith((tmp_path / "mlartifacts").as_uri())


def test_no_run_is_logged_twice(
    tmp_path: Path,
    digits: Path,
    summary: Summary,
    trained: tuple[Path, list[Record]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even its figures or its model; a later experiment with the run is named in its tag."""
    models, (record, _, diverged) = trained
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    ids = []
    for experiment in ("first", "second", "second", ""):
        monkeypatch.setenv("DVC_EXP_NAME", experiment)
        store = open_store(tmp_path, summary)
        for each in (record, diverged):
            folder = models / each.run.name
            store.log(each, folder, TIMING)
            store.log_evaluation(each, folder, Score(0.25, 0.75), [])
            store.publish(each, folder, digits)
            ids.append(only(store, each).info.run_id)
    assert ids == ids[:2] * 4
    assert client.get_run(ids[0]).data.tags["dvc.exp_name"] == "first, second"
    assert len(client.get_metric_history(ids[0], "test/loss")) == 1
    assert len(client.get_metric_history(ids[1], "gap")) == 1
    assert len(client.search_logged_models([store.experiment])) == 2
    other = replace(record, fingerprint="another")
    store.log(other, models / record.run.name, TIMING)
    assert only(store, other).info.run_id not in ids


def test_a_run_that_was_logged_in_part_is_completed(
    tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]
) -> None:
    """The store fails in the middle; the run is not left running, and there is one in the end."""
    models, (record, other, _) = trained
    lines: list[str] = []
    store = open_store(tmp_path, summary, lines.append)
    (tmp_path / "mlartifacts").write_text("in the way")
    store.log(record, models / record.run.name, TIMING)
    assert store.failed
    assert len(lines) == 1
    assert only(store, record).info.status == "FAILED"
    assert store.lacks(record)
    (tmp_path / "mlartifacts").unlink()
    store = open_store(tmp_path, summary)
    store.log_evaluation(record, models / record.run.name, Score(0.25, 0.75), [])
    run = only(store, record)
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "finished")
    assert not store.lacks(record)
    assert store.lacks(other)
    assert len(store.client.get_metric_history(run.info.run_id, "lr")) == len(record.epochs)


def test_a_run_that_failed_says_why_until_it_is_trained(
    tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]
) -> None:
    models, (record, _, _) = trained
    store = open_store(tmp_path, summary)
    for _ in range(2):
        store.log_failure(record.run, record.fingerprint, "a worker process was ended from outside")
        run = only(store, record)
        assert run.info.status == "FAILED"
        assert run.data.tags["outcome"] == "failed: a worker process was ended from outside"
        assert run.data.params["seed"] == "0"
    store.log(record, models / record.run.name, TIMING)
    assert only(store, record).data.tags["outcome"] == "finished"


def test_what_a_killed_process_was_logging_is_marked(tmp_path: Path, summary: Summary) -> None:
    store = open_store(tmp_path, summary)
    runs = [
        store.client.create_run(store.experiment, tags={tracking.PROJECT: project}).info.run_id
        for project in (f"{socket.gethostname()}:{tmp_path}", "elsewhere:/home")
    ]
    open_store(tmp_path, summary)
    assert [store.client.get_run(run).info.status for run in runs] == ["KILLED", "RUNNING"]


def test_the_commit_of_the_project_is_a_tag(
    summary: Summary, tmp_path: Path, trained: tuple[Path, list[Record]]
) -> None:
    models, (record, _, _) = trained

    def git(*command: str) -> str:
        identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
        done = subprocess.run(["git", *identity, *command], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    store = open_store(tmp_path, summary)
    store.log(record, models / record.run.name, TIMING)
    tags = only(store, record).data.tags
    assert tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")


def test_a_diverged_run_is_logged_as_such(tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]) -> None:
    models, (_, _, record) = trained
    store = open_store(tmp_path, summary)
    store.log(record, models / record.run.name, TIMING)
    run = only(store, record)
    assert (run.info.status, run.data.tags["outcome"]) == ("FINISHED", "diverged")


def test_the_experiment_says_what_the_task_is(tmp_path: Path, summary: Summary) -> None:
    open_store(tmp_path, summary)
    experiment = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db").get_experiment_by_name("digits-mlp")
    for part in ("mlp", "hidden [64, 32]", "1,077 train", "base LR 0.15", "batch size 32"):
        assert part in experiment.tags["mlflow.note.content"]
    view = json.loads(experiment.tags[f"mlflow.sharedViewState.{tracking.VIEW}"])
    assert view["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "scheduler"}]


def test_a_published_model_predicts_what_the_network_predicts(
    tmp_path: Path, digits: Path, summary: Summary, trained: tuple[Path, list[Record]]
) -> None:
    models, (record, _, _) = trained
    store = open_store(tmp_path, summary)
    store.publish(record, models / record.run.name, digits)

    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    (logged,) = MlflowClient().search_logged_models([store.experiment])
    assert logged.source_run_id == only(store, record).info.run_id
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    test = data.read(digits, "test")
    network = evaluation.load(record, models / record.run.name, summary).eval()
    expected = network(training.inputs(test.x, summary, record.run)).detach().numpy()
    assert np.abs(model.predict(test.x.numpy()) - expected).max() < 1e-6
    assert model.metadata.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 1, 8, 8)}
    folder = Path(logged.artifact_location.removeprefix("file://"))
    pinned = (folder / "requirements.txt").read_text().split()
    assert all("==" in line for line in pinned)
    assert any(line.startswith("torch==") for line in pinned)
    assert not list(folder.rglob("uv.lock"))  # it would name the registry of whoever trained the model
    assert not list(folder.rglob("*.pkl"))


def test_a_model_is_served_without_this_project(
    tmp_path: Path, digits: Path, summary: Summary, trained: tuple[Path, list[Record]]
) -> None:
    """From a process that knows nothing of the checkout: the package travels with the model."""
    models, (record, _, _) = trained
    store = open_store(tmp_path, summary)
    store.publish(record, models / record.run.name, digits)
    (folder,) = (file.parent for file in (tmp_path / "mlartifacts").rglob("MLmodel"))
    script = (
        "import sys; sys.path = [each for each in sys.path if each != sys.argv[2]]\n"
        "import mlflow, numpy as np; model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "import pipeline; assert pipeline.__file__.startswith(sys.argv[1]), pipeline.__file__\n"
        "print(model.predict(np.zeros((3, 1, 8, 8), np.uint8)).shape)"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(folder), str(ROOT)], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == "(3, 10)", done.stderr


def test_serving_needs_the_requirements_that_are_pinned() -> None:
    """Whatever the served modules import from outside is in the model's requirements."""
    script = (
        "import sys; import pipeline.serving; import importlib.metadata as m\n"
        "owners = m.packages_distributions()\n"
        "print(*{d.lower() for name in {n.split('.')[0] for n in sys.modules} for d in owners.get(name, ())})"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT).stdout.split()
    )
    assert set(tracking.SERVING_REQUIREMENTS) <= loaded
    assert not {"mlflow", "pooch", "scikit-learn", "torchvision", "typer", "rich", "matplotlib", "joblib"} & loaded
    assert serving.SUMMARY == "summary.json"


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("http://127.0.0.1:9", "refused"),
        ("sqlite:////dev/null/mlflow.db", "File exists"),
        ("postgres-ish://x", "postgres-ish"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line(
    tmp_path: Path, summary: Summary, monkeypatch: pytest.MonkeyPatch, uri: str, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=r"MLFLOW_TRACKING_URI") as raised:
        open_store(tmp_path, summary)
    line = str(raised.value)
    assert uri in line
    assert reason in line
    assert "\n" not in line
    assert not (tmp_path / "mlflow.db").exists()


def test_an_experiment_that_was_deleted_is_one_line(tmp_path: Path, summary: Summary) -> None:
    store = open_store(tmp_path, summary)
    store.client.delete_experiment(store.experiment)
    with pytest.raises(UserError, match="mlflow experiments restore --experiment-id 1"):
        open_store(tmp_path, summary)


def test_a_store_that_fails_later_is_told_of_once(
    tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]
) -> None:
    models, found = trained
    lines: list[str] = []
    store = open_store(tmp_path, summary, lines.append)
    for file in tmp_path.glob("mlflow.db*"):
        file.unlink()
    for record in found:
        store.log(record, models / record.run.name, TIMING)
    assert store.failed
    assert len(lines) == 1
    assert "results are kept, untracked" in lines[0]
    assert "\n" not in lines[0]


def test_a_server_takes_it_all(
    tmp_path: Path, digits: Path, summary: Summary, trained: tuple[Path, list[Record]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real MLflow server, asked over HTTP, that keeps the artifacts too."""
    models, (record, _, _) = trained
    with mlflow_server(tmp_path) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        store = open_store(tmp_path, summary)
        folder = models / record.run.name
        store.log_evaluation(record, folder, Score(0.25, 0.75), [])
        store.publish(record, folder, digits)
        run_id = only(store, record).info.run_id
        client = MlflowClient(uri)
        assert {file.path for file in client.list_artifacts(run_id)} == {
            "model.safetensors",
            "curve.csv",
            "run.json",
            "parameters.json",
        }
        assert client.get_run(run_id).data.metrics["test/accuracy"] == 0.75
        assert len(client.get_metric_history(run_id, "lr")) == 3
        (logged,) = client.search_logged_models([store.experiment])
        model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
        assert model.predict(data.example(digits)).shape == (1, 10)
        assert not (tmp_path / "mlflow.db").exists()


def test_four_processes_create_one_store_together(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; import sys; from tests.tracking.test_store import *; from pipeline import data\n"
        "data.prepare({'name': 'digits'}, Path(sys.argv[2]), Path(sys.argv[2]))\n"
        "open_store(Path(sys.argv[1]), data.summary(Path(sys.argv[2])))"
    )

    def create(number: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", script, str(tmp_path / "root"), str(tmp_path / f"data{number}")]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    (tmp_path / "root").mkdir()
    with ThreadPoolExecutor(4) as pool:
        for done in pool.map(create, range(4)):
            assert done.returncode == 0, done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/root/mlflow.db")
    assert [each.name for each in client.search_experiments()] == ["digits-mlp", "Default"]


def test_links_lead_to_the_experiment(tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]) -> None:
    models, best = trained
    store = open_store(tmp_path, summary)
    for record in best[:2]:
        store.log(record, models / record.run.name, TIMING)
    ids = [only(store, record).info.run_id for record in best[:2]]
    found = tracking.links(tmp_path, "http://127.0.0.1:5000", "digits-mlp", best)  # the third it does not have
    page = f"http://127.0.0.1:5000/#/experiments/{store.experiment}/runs"
    assert list(found.values())[:2] == [f"{page}?viewStateShareKey=schedulers&compareRunsMode=CHART", page]
    assert f"compare-runs?runs=%5B%22{ids[0]}%22%2C%20%22{ids[1]}%22%5D" in found["each scheduler's best run"]
    with pytest.raises(UserError, match="has no runs of mnist-mlp"):
        tracking.links(tmp_path, "http://127.0.0.1:5000", "mnist-mlp", [])


def test_evaluation_refuses_other_weights(tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]) -> None:
    models, (record, _, _) = trained
    folder = tmp_path / "run"
    folder.mkdir()
    for content in (None, b"", b"x" * 100, (models / record.run.name / "run.json").read_bytes()):
        if content is not None:
            (folder / records.WEIGHTS).write_bytes(content)
        with pytest.raises(UserError, match="not the weights of this run") as raised:
            evaluation.load(record, folder, summary)
        assert "\n" not in str(raised.value)


def test_what_the_runs_say_together_is_a_run_of_its_own(
    tmp_path: Path, summary: Summary, trained: tuple[Path, list[Record]]
) -> None:
    _, runs = trained
    store = open_store(tmp_path, summary)
    results = tmp_path / "results"
    (results / "figures").mkdir(parents=True)
    for name in ("metrics.json", "report.html", "figures/differences.svg", "of_something_else.png"):
        (results / name).write_text("{}")
    files = [results / name for name in ("metrics.json", "report.html", "figures")]
    about = "test_loss against step"
    assert store.lacks_comparison(runs, about)
    for _ in range(2):  # the same again is not logged again
        store.log_comparison(runs, about, files, "Use step, which gains most.")
    (run,) = tracked(store.uri, comparison=True)
    assert run.info.status == "FINISHED"
    assert (run.data.tags["verdict"], run.data.tags["about"]) == ("Use step, which gains most.", about)
    kept = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    assert kept == {"metrics.json", "report.html", "figures"}
    assert not store.lacks_comparison(runs, about)
    assert store.lacks_comparison(runs, "test_accuracy against step")
    assert store.lacks_comparison(runs[1:], about)
    # The same runs, of which another version of the code says something else
    store.log_comparison(runs, about, files, "Use constant.")
    (run,) = tracked(store.uri, comparison=True)
    assert run.data.tags["verdict"] == "Use constant."
    store.log_comparison(runs[1:], about, files, "Keep constant.")
    assert len(tracked(store.uri, comparison=True)) == 2
    latest, *_ = tracking.links(tmp_path, "http://127.0.0.1:5000", "digits-mlp", []).values()
    ids = {each.data.tags["verdict"]: each.info.run_id for each in tracked(store.uri, comparison=True)}
    assert latest == f"http://127.0.0.1:5000/#/experiments/1/runs/{ids['Keep constant.']}"
    note = store.client.get_experiment(store.experiment).tags["mlflow.note.content"]
    assert note.startswith("**mlp**")
    assert note.endswith("\n\nKeep constant.")
    assert tracked(store.uri) == []
