"""The champion of a task in MLflow's registry."""

import re
import shlex
from pathlib import Path

import mlflow
import numpy as np
import pytest
import requests

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.runs.records import WEIGHTS, Record
from pipeline.tracking.store import Store
from pipeline.training import evaluation
from pipeline.training.batches import inputs
from tests.helpers.fork_server import path
from tests.helpers.processes import process_group
from tests.helpers.project import FOREIGN, ROOT
from tests.helpers.servers import free_port, wait_for_server
from tests.tracking.conftest import Trained, only, open_store

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def promote(store: Store, trained: Trained, digits: Path, record: Record, is_free: bool = True) -> None:
    store.publish(record, trained.folder(record), digits)
    tags = {"scheduler": record.run.scheduler, "verdict": f"Use {record.run.scheduler}."}
    store.promote(record, trained.folder(record), tags, is_free)


def aliases(store: Store) -> dict[str, str]:
    """The scheduler of each alias."""
    (model,) = store.client.search_registered_models()
    found = {alias: store.client.get_model_version(model.name, version) for alias, version in model.aliases.items()}
    return {alias: version.tags["scheduler"] for alias, version in found.items()}


def test_the_champion_is_the_recommended_network(root: Path, digits: Path, summary: Summary, trained: Trained) -> None:
    store, record = open_store(root, summary), trained.record
    promote(store, trained, digits, record)
    assert aliases(store) == {"champion": "sequential"}
    version = store.client.get_model_version_by_alias("digits-mlp", "champion")
    assert version.run_id == only(store, record).info.run_id
    assert version.tags["verdict"] == "Use sequential."
    mlflow.set_tracking_uri(store.uri)
    model = mlflow.pyfunc.load_model("models:/digits-mlp@champion")
    test = datasets.read(digits, "test")
    network = evaluation.load(record.run, trained.folder(record) / WEIGHTS, summary).eval()
    expected = network(inputs(test.x, summary, record.run)).detach().numpy()
    assert np.abs(model.predict(test.x.numpy()) - expected).max() < 1e-6
    (logged,) = store.client.search_logged_models([store.experiment])
    assert logged.name == "digits-mlp-sequential"


def test_the_one_before_is_the_previous_one(root: Path, digits: Path, summary: Summary, trained: Trained) -> None:
    store = open_store(root, summary)
    promote(store, trained, digits, trained.record)
    for _ in range(2):  # the same verdict again changes nothing
        promote(store, trained, digits, trained.other)
        assert aliases(store) == {"champion": "step", "previous": "sequential"}
    assert len(store.client.search_model_versions("name = 'digits-mlp'")) == 2
    promote(store, trained, digits, trained.record)
    assert aliases(store) == {"champion": "sequential", "previous": "step"}
    assert len(store.client.search_model_versions("name = 'digits-mlp'")) == 2


def test_nothing_changes_hands_where_both_are_as_good(
    root: Path, digits: Path, summary: Summary, trained: Trained
) -> None:
    store = open_store(root, summary)
    promote(store, trained, digits, trained.record, is_free=False)
    assert aliases(store) == {"champion": "sequential"}  # there was none
    promote(store, trained, digits, trained.other, is_free=False)
    assert aliases(store) == {"champion": "sequential"}


@pytest.mark.slow
def test_the_champion_is_served_as_the_readme_says(
    root: Path, digits: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real server answers a real request with what the network answers."""
    monkeypatch.chdir(root)
    store, record = open_store(root, summary), trained.record
    promote(store, trained, digits, record)
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
    network = evaluation.load(record.run, trained.folder(record) / WEIGHTS, summary).eval()
    expected = network(inputs(test, summary, record.run)).detach().numpy()
    assert np.abs(np.array(answer["predictions"]) - expected).max() < 1e-6
