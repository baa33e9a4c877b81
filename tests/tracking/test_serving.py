"""The loader module of published models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.runs.records import WEIGHTS
from pipeline.tracking import models
from pipeline.tracking.serving import Network
from pipeline.training import evaluation
from pipeline.training.batches import inputs
from tests.helpers.project import ROOT
from tests.tracking.conftest import Trained


def test_a_served_network_predicts_what_the_trained_one_does(
    tmp_path: Path, digits: Path, summary: Summary, trained: Trained
) -> None:
    record = trained.record
    folder = tmp_path / "network"
    shutil.copytree(trained.folder(record), folder)
    shutil.copy(digits / "summary.json", folder)
    test = datasets.read(digits, "test")
    network = evaluation.load(record.run, trained.folder(record) / WEIGHTS, summary).eval()
    expected = network(inputs(test.x, summary, record.run)).detach().numpy()
    found = Network(folder).predict(test.x.numpy())
    assert found.dtype == np.float32
    assert (found == expected).all()


def test_serving_needs_the_requirements_that_are_pinned() -> None:
    """Every package that the loader module imports is pinned with the model, and MLflow is not among them."""
    script = (
        "import importlib.metadata, json, sys; import pipeline.tracking.serving\n"
        "owners = importlib.metadata.packages_distributions()\n"
        "print(json.dumps([[name, owners.get(name, [])] for name in {name.split('.')[0] for name in sys.modules}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {owner.lower() for _, owners in json.loads(done.stdout) for owner in owners}
    assert set(models.SERVING_REQUIREMENTS) <= loaded
    others = {"filelock", "joblib", "matplotlib", "mlflow", "pooch", "psutil", "rich", "scikit-learn", "scipy", "typer"}
    assert not {*others, "torchvision"} & loaded
