"""Published models that are loaded back from a real store, and the champion of a task."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import requests
from mlflow import MlflowClient
from safetensors.torch import save
from sklearn.metrics import r2_score, root_mean_squared_error

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.runs import records
from pipeline.runs.metric import network_figures
from pipeline.runs.records import WEIGHTS, Record
from pipeline.tracking import models
from pipeline.tracking.client import store_uri
from pipeline.tracking.experiment import Experiment, TrackedSweep
from pipeline.training import evaluation
from pipeline.training.state import Training
from pipeline.training.training_set import inputs
from tests.helpers.data import people
from tests.helpers.fork_server import path
from tests.helpers.processes import process_group
from tests.helpers.project import FOREIGN, ROOT, load
from tests.helpers.servers import free_port, wait_for_server
from tests.tracking.conftest import Trained, only, open_experiment, wanted
from tests.training.fitting import CPU, fit

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def test_a_published_model_predicts_as_the_network(
    root: Path, digits: Path, summary: Summary, experiment: Experiment, trained: Trained
) -> None:
    record = trained.record
    experiment.publish(record, digits)

    mlflow.set_tracking_uri(store_uri(root))
    (logged,) = MlflowClient().search_logged_models([experiment.id])
    assert logged.source_run_id == only(root, record).info.run_id
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    test = datasets.read(digits, "test")
    network = evaluation.load(record.run.workload, trained.folder(record) / WEIGHTS, summary).eval()
    expected = network(inputs(test.x, summary, record.run.workload)).detach().numpy()
    assert np.array_equal(model.predict(test.x.numpy()), expected)
    signature = model.metadata.signature
    assert signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 1, 8, 8)}
    assert signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 10)}
    folder = Path(logged.artifact_location.removeprefix("file://"))
    pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert set(pinned) == {"mlflow", *models.SERVING_REQUIREMENTS}
    assert not list(folder.rglob("uv.lock"))  # uv.lock would reveal the author's package index
    assert not list(folder.rglob("*.pkl"))


def test_a_published_model_of_a_table_takes_raw_rows_and_answers_in_the_targets_units(root: Path) -> None:
    """When the loaded model predicts the rows of a file, R² and RMSE are those that MLflow shows."""
    from mlflow.pyfunc import scoring_server  # not at the top, because this import causes warnings

    for name, rows in (("train.csv", people(300)), ("test.csv", people(90).iloc[30:])):
        rows.to_csv(root / name, index=False)
    dataset = {"name": "table", "path": "train.csv", "target": "spent", "drop": ["buys", "id"], "test_path": "test.csv"}
    task = {"dataset": dataset, "model": {"name": "mlp", "hidden": [8]}, "loss": "mean-squared-error"}
    task |= {"optimizer": "adam", "lr": 0.01, "epochs": 20, "batch_size": 16}
    params = load(task="shop", tasks__shop=task, seeds=1)
    summary = datasets.prepare(params.run_task.dataset, root / "data", root)
    train, val, test = (datasets.read(root / "data", name) for name in ("train", "val", "test"))
    training = Training(params.runs(270)[0], summary, CPU)
    record = Record(training.run, "finished", fit(training, (train, val)), "cpu", "2", "f")
    records.write(root / "models" / record.run.name, record, save(training.network.state_dict()))
    experiment = open_experiment(TrackedSweep(root, params, summary, root / "models"))
    loss, _ = evaluation.score(training.network, test, summary, training.workload, CPU)
    experiment.log_evaluation(record, network_figures(loss, None), [])
    experiment.publish(record, root / "data")

    (logged,) = experiment.client.search_logged_models([experiment.id])
    mlflow.set_tracking_uri(store_uri(root))
    assert logged.source_run_id is not None
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    raw = pd.read_csv(root / "test.csv")
    answers = model.predict(raw)[:, 0]
    metrics = experiment.client.get_run(logged.source_run_id).data.metrics
    assert r2_score(raw["spent"], answers) == pytest.approx(metrics["test/r2"], abs=1e-4)
    assert metrics["test/r2"] > 0.8
    assert root_mean_squared_error(raw["spent"], answers) == pytest.approx(metrics["test/rmse"], rel=1e-4)

    body = json.dumps({"dataframe_split": json.loads(raw.drop(columns="spent").to_json(orient="split", index=False))})
    invoke: Any = scoring_server.invocations
    answer = invoke(body, "application/json", model, model.metadata.get_input_schema())
    assert answer.status == 200
    assert np.ravel(json.loads(answer.response)["predictions"]) == pytest.approx(answers, rel=1e-4)
    assert model.predict(datasets.example(root / "data")).shape == (1, 1)


@pytest.mark.slow
def test_a_model_is_served_without_this_project(
    root: Path, digits: Path, experiment: Experiment, trained: Trained
) -> None:
    """The process that serves the model cannot import this checkout, but the model contains the package."""
    experiment.publish(trained.record, digits)
    (folder,) = (file.parent for file in (root / "mlartifacts").rglob("MLmodel"))
    script = (
        "import sys; sys.path = [each for each in sys.path if each != sys.argv[2]]\n"
        "import mlflow, numpy as np; model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "import pipeline; assert pipeline.__file__.startswith(sys.argv[1]), pipeline.__file__\n"
        "print(model.predict(np.zeros((3, 1, 8, 8), np.uint8)).shape)"
    )
    command = [sys.executable, "-I", "-c", script, str(folder), str(ROOT)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "(3, 10)", done.stderr


def test_a_run_is_published_once(digits: Path, experiment: Experiment, trained: Trained) -> None:
    for _ in range(2):
        experiment.publish(trained.other, digits)
    assert len(experiment.client.search_logged_models([experiment.id])) == 1


@pytest.mark.parametrize(("name", "below"), [("50% off", "."), ("100%25 a%b", "one"), ("why? ü #", "one/two")])
def test_a_project_may_have_any_path(
    tmp_path: Path,
    empty_store: Path,
    digits: Path,
    summary: Summary,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    below: str,
) -> None:
    """Runs, artifacts and models get to the right place and can be loaded, even from a folder below the root."""
    root = tmp_path / name
    (root / below).mkdir(parents=True)
    monkeypatch.chdir(root / below)  # makes the relative address new, because MLflow opens an address only once
    shutil.copy(empty_store, root)
    record, folder = trained.record, trained.folder(trained.record)
    experiment = open_experiment(TrackedSweep(root, wanted(), summary, trained.models))
    experiment.publish(record, digits)
    run_id = only(root, record).info.run_id
    weights = Path(experiment.client.download_artifacts(run_id, "model.safetensors", str(tmp_path)))
    assert weights.read_bytes() == (folder / "model.safetensors").read_bytes()
    (logged,) = experiment.client.search_logged_models([experiment.id])
    mlflow.set_tracking_uri(store_uri(root))
    # Without dst_path, MLflow would decode the path that it has found, and would fail at %25.
    copy = tmp_path / "copy"
    copy.mkdir()
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}", dst_path=str(copy))
    assert model.predict(datasets.example(digits)).shape == (1, 10)
    assert {path.name for path in tmp_path.iterdir()} == {
        name,
        "model.safetensors",
        "copy",
    }  # MLflow has created no other folder
    assert {path.name for path in root.iterdir()} - {"one"} == {".cache", "mlartifacts", "mlflow.db"}


# the champion


def promote(experiment: Experiment, digits: Path, record: Record, replaces: bool = True) -> None:
    experiment.publish(record, digits)
    tags = {"scheduler": record.run.scheduler, "verdict": f"Use {record.run.scheduler}."}
    experiment.promote(record, tags, replaces)


def aliases(client: MlflowClient) -> dict[str, str]:
    """Return the schedulers of model versions, keyed by the versions' aliases."""
    (model,) = client.search_registered_models()
    versions = {alias: client.get_model_version(model.name, number) for alias, number in model.aliases.items()}
    return {alias: version.tags["scheduler"] for alias, version in versions.items()}


def test_the_champion_is_the_recommended_network(
    root: Path, digits: Path, experiment: Experiment, trained: Trained
) -> None:
    client, record = experiment.client, trained.record
    promote(experiment, digits, record)
    assert aliases(client) == {"champion": "sequential"}
    version = client.get_model_version_by_alias("digits-mlp", "champion")
    assert version.run_id == only(root, record).info.run_id
    assert version.tags["verdict"] == "Use sequential."
    (logged,) = client.search_logged_models([experiment.id])
    assert logged.name == "digits-mlp-sequential"


def test_the_last_champion_becomes_the_previous_one(digits: Path, experiment: Experiment, trained: Trained) -> None:
    client = experiment.client
    promote(experiment, digits, trained.record)
    for _ in range(2):  # promoting a model again changes nothing
        promote(experiment, digits, trained.other)
        assert aliases(client) == {"champion": "step", "previous": "sequential"}
    assert len(client.search_model_versions("name = 'digits-mlp'")) == 2
    promote(experiment, digits, trained.record)
    assert aliases(client) == {"champion": "sequential", "previous": "step"}
    assert len(client.search_model_versions("name = 'digits-mlp'")) == 2


def test_an_equally_good_model_is_not_the_new_champion(digits: Path, experiment: Experiment, trained: Trained) -> None:
    client = experiment.client
    promote(experiment, digits, trained.record, replaces=False)
    assert aliases(client) == {"champion": "sequential"}  # because there was no champion
    promote(experiment, digits, trained.other, replaces=False)
    assert aliases(client) == {"champion": "sequential"}


@pytest.mark.slow
def test_the_champion_is_served_as_the_readme_says(
    sweep: TrackedSweep, digits: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server answers a request with the outputs of the network."""
    root, record = sweep.root, trained.record
    monkeypatch.chdir(root)
    promote(open_experiment(sweep), digits, record)
    (line,) = re.findall(r"^`(MLFLOW.*)`$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assignment, _, command = line.partition(" uv run ")
    name, _, uri = assignment.partition("=")
    port = free_port()
    words = ["python", "-m", *shlex.split(command), "--port", str(port)]
    test = datasets.read(digits, "test").x[:3]
    with process_group(words, root, **{name: uri, "PATH": path()}):
        wait_for_server(f"http://127.0.0.1:{port}")
        answer = requests.post(
            f"http://127.0.0.1:{port}/invocations", json={"inputs": test.tolist()}, timeout=60
        ).json()
    network = evaluation.load(record.run.workload, trained.folder(record) / WEIGHTS, summary).eval()
    expected = network(inputs(test, summary, record.run.workload)).detach().numpy()
    assert np.abs(np.array(answer["predictions"]) - expected).max() < 1e-6
