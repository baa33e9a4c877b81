"""This module configures and imports MLflow, and finds, opens and searches the store.

The other modules of this package import MLflow's names from here, because this module sets environment variables that
MLflow reads on import.
"""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Report an unreachable server within seconds; by default, MLflow retries for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
# Keep MLflow from printing the server's address after each run.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Keep uv.lock out of published models, because it reveals the package registry of the person who trained the model.
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, Experiment, InputTag, LoggedModelStatus, Metric, Param, Run, RunTag
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from pipeline.errors import UserError
from pipeline.tracking.outage import StoreError, root_cause, store_errors

__all__ = [
    "Dataset",
    "DatasetInput",
    "Experiment",
    "InputTag",
    "LoggedModelStatus",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "ModelVersion",
    "Param",
    "Run",
    "RunTag",
    "get_artifact_repository",
]

logging.getLogger("alembic").setLevel(logging.WARNING)  # at lower levels, alembic prints each migration of a new store
logging.getLogger("urllib3").setLevel(logging.ERROR)  # at lower levels, urllib3 prints each retry
# At lower levels, MLflow prints each step of saving a model, and prints the traceback of every error before raising it.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

FINISHED = "FINISHED"
"""MLflow's status for a run that is complete."""
RUNNING = "RUNNING"
"""MLflow's status for a run that has not ended."""
COMPARISON = "comparison"
"""The name of the MLflow run that holds the verdict on a sweep."""
VERDICT = "verdict"
"""The tag with the text of a verdict. A later version of this project may reach another verdict on the same runs."""
KIND = "kind"
"""The tag that marks MLflow runs that are not training runs; its value is `comparison` or `group`."""
GROUP = "group"
"""The value of the tag `kind` for an MLflow run that holds the mean curve of a group."""
OWN_LR = "own_lr"
"""The tag that says whether a group was trained at its scheduler's own base LR."""
PROJECT = "project"
"""The tag that names the machine and the project folder from which a run was logged."""


def store_uri(root: Path) -> str:
    """Return the address of the store: ``MLFLOW_TRACKING_URI`` if that is set, or else `mlflow.db` in ``root``."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    path = str(root.resolve() / "mlflow.db")
    # SQLAlchemy decodes escapes such as %25, and treats a question mark as the end of the path.
    # If the path were quoted, MLflow would create a folder with the quoted name.
    # The current folder is the project's folder, so the relative path contains neither character.
    if "%" in path or "?" in path:
        path = os.path.relpath(path)
    return f"sqlite:///{path}"


def shown(uri: str) -> str:
    """Return the address of a store with the password hidden, for use in messages."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:***@", uri)


def is_shared(uri: str, root: Path) -> bool:
    """Return True if other projects may use the store; only the default store of the project in ``root`` is private."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) and uri != f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifacts_uri(root: Path) -> str:
    """Return the URI of the artifact folder of the project in ``root``."""
    return (root.resolve() / "mlartifacts").as_uri()


@contextmanager
def required(uri: str) -> Iterator[None]:
    """Turn any store failure in the block into a `UserError`."""
    try:
        with store_errors():
            yield
    except (StoreError, ImportError, ValueError) as error:  # the driver is missing, or the address is invalid
        raise UserError(
            f"MLflow: the store {shown(uri)} cannot be used ({root_cause(error)}); "
            "set MLFLOW_TRACKING_URI to another, or unset it to use mlflow.db here"
        ) from None


def connect(uri: str, experiment: str) -> MlflowClient:
    """Look up the experiment to check that the store works, and return a client for the store.

    Raises:
        UserError: the store cannot be used, or the experiment has been deleted.
    """
    with required(uri):
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
    if found is not None and found.lifecycle_stage == "deleted":
        raise UserError(
            f"MLflow: experiment {experiment!r} is deleted; "
            f"`uv run mlflow experiments restore --experiment-id {found.experiment_id}` brings it back"
        )
    return client


def latest_comparison(client: MlflowClient, experiment: str) -> Run | None:
    """Return the run that holds an experiment's latest verdict, or None if the experiment has no verdict."""
    query, order = f"attributes.run_name = '{COMPARISON}'", ["start_time DESC"]
    runs = client.search_runs([experiment], query, order_by=order, max_results=1)
    return runs[0] if runs else None


def find_runs(client: MlflowClient, experiment: str, name: str, fingerprint: str) -> list[Run]:
    """Return the runs with this name and fingerprint, with finished runs first."""
    # In SQLite, a search by name and fingerprint takes twice as long as a search by fingerprint alone.
    runs = [
        run
        for run in client.search_runs([experiment], f"tags.fingerprint = '{fingerprint}'")
        if run.info.run_name == name
    ]
    return sorted(runs, key=lambda run: run.info.status != FINISHED)
