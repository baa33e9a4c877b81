"""Read the outputs of stages: tables of results and the published model."""

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow import MlflowClient

from pipeline import datasets
from pipeline.runs import records
from pipeline.training.evaluation import load
from pipeline.training.training_set import inputs

MIRROR = Path(os.environ.get("DATA_MIRROR", "nowhere"))
SMALL = {"scheduler": "[constant,step]", "seeds": 1}
"""Changes to params.yaml for the smallest sweep that has something to compare."""
Stages = Callable[..., dict[str, Any]]
"""Runs download, train and evaluate with changes to params.yaml, and returns results/schedulers.json."""


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a table in results/."""
    with Path("results", name).open() as file:
        return list(csv.DictReader(file))


def served() -> tuple[Any, records.Record]:
    """Return the first published model and the record of its run."""
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    client = MlflowClient()
    experiment = next(experiment for experiment in client.search_experiments() if experiment.name != "Default")
    logged = client.search_logged_models([experiment.experiment_id])[0]
    assert logged.source_run_id is not None
    name = client.get_run(logged.source_run_id).info.run_name
    assert name is not None
    return mlflow.pyfunc.load_model(f"models:/{logged.model_id}"), records.read(Path("models", name))


def expected(record: records.Record, x: torch.Tensor) -> np.ndarray:
    """Return the outputs of a run's network for the inputs ``x``."""
    summary = datasets.summary(Path("data"))
    network = load(record.run.workload, Path("models", record.run.name, records.WEIGHTS), summary).eval()
    answer: np.ndarray = network(inputs(x, summary, record.run.workload)).detach().numpy()
    return answer
