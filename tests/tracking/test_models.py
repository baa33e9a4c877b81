"""Published models, loaded back from a real store."""

import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from pipeline import data
from pipeline.data import Summary
from pipeline.records import WEIGHTS
from pipeline.tracking import models
from pipeline.training import evaluation
from pipeline.training.batches import inputs
from tests.conftest import ROOT
from tests.tracking.conftest import Trained, only, open_store

pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning"
)


def test_a_published_model_predicts_what_the_network_predicts(
    root: Path, digits: Path, summary: Summary, trained: Trained
) -> None:
    record = trained.record
    store = open_store(root, summary)
    store.publish(record, trained.folder(record), digits)

    mlflow.set_tracking_uri(store.uri)
    (logged,) = MlflowClient().search_logged_models([store.experiment])
    assert logged.source_run_id == only(store, record).info.run_id
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}")
    test = data.read(digits, "test")
    network = evaluation.load(record.run, trained.folder(record) / WEIGHTS, summary).eval()
    expected = network(inputs(test.x, summary, record.run)).detach().numpy()
    assert np.abs(model.predict(test.x.numpy()) - expected).max() < 1e-6
    signature = model.metadata.signature
    assert signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 1, 8, 8)}
    assert signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 10)}
    folder = Path(logged.artifact_location.removeprefix("file://"))
    pinned = dict(line.split("==") for line in (folder / "requirements.txt").read_text().split())
    assert set(pinned) == {"mlflow", *models.SERVING_REQUIREMENTS}
    assert not list(folder.rglob("uv.lock"))  # it would name the registry of whoever trained the model
    assert not list(folder.rglob("*.pkl"))


@pytest.mark.slow
def test_a_model_is_served_without_this_project(root: Path, digits: Path, summary: Summary, trained: Trained) -> None:
    """By a process that knows nothing of the checkout: the package travels with the model."""
    open_store(root, summary).publish(trained.record, trained.folder(trained.record), digits)
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


def test_a_run_has_one_model(root: Path, digits: Path, summary: Summary, trained: Trained) -> None:
    store = open_store(root, summary)
    for _ in range(2):
        store.publish(trained.other, trained.folder(trained.other), digits)
    assert len(store.client.search_logged_models([store.experiment])) == 1


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
    """Runs, artifacts and models go where they should, and come back; from a folder ``below`` the project, too."""
    root = tmp_path / name
    (root / below).mkdir(parents=True)
    monkeypatch.chdir(root / below)  # each another: a process of MLflow opens an address once, and it is relative here
    shutil.copy(empty_store, root)
    record, folder = trained.record, trained.folder(trained.record)
    store = open_store(root, summary)
    store.publish(record, folder, digits)
    run_id = only(store, record).info.run_id
    weights = Path(store.client.download_artifacts(run_id, "model.safetensors", str(tmp_path)))
    assert weights.read_bytes() == (folder / "model.safetensors").read_bytes()
    (logged,) = store.client.search_logged_models([store.experiment])
    mlflow.set_tracking_uri(store.uri)
    # Without dst_path MLflow decodes the path that it has found, and fails at %25.
    copy = tmp_path / "copy"
    copy.mkdir()
    model = mlflow.pyfunc.load_model(f"models:/{logged.model_id}", dst_path=str(copy))
    assert model.predict(data.example(digits)).shape == (1, 10)
    assert {path.name for path in tmp_path.iterdir()} == {
        name,
        "model.safetensors",
        "copy",
    }  # MLflow makes no other folder
    assert {path.name for path in root.iterdir()} - {"one"} == {".cache", "mlartifacts", "mlflow.db"}
