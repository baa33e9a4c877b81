"""MLflow's client, set up for this project, and the address of the store.

The other modules of this package import MLflow's names from here: MLflow reads some settings while it is imported.
"""

import logging
import os
import re
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Report an unreachable server within seconds; by default, MLflow retries for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
# Do not print the server's address after each run.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Keep uv.lock out of published models: it names the package registry of whoever trained them.
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

logging.getLogger("alembic").setLevel(logging.WARNING)  # it prints a line for each migration of a new store
logging.getLogger("urllib3").setLevel(logging.ERROR)  # and a line for each retry
# MLflow narrates how it saves a model, and logs a failing store's traceback before it raises.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

FINISHED = "FINISHED"
"""MLflow's status of a run that is complete."""
RUNNING = "RUNNING"
"""MLflow's status of a run that has not ended."""
COMPARISON = "comparison"
"""The name of the run with the verdict of a sweep."""
VERDICT = "verdict"
"""The tag with all words of a verdict. The same runs get another one from another version of the code."""
KIND = "kind"
"""The tag of a run that was not trained: `comparison` or `group`."""
GROUP = "group"
"""The kind of a run with the mean curve of a group."""
OWN_LR = "own_lr"
"""The tag of a group at its scheduler's own base LR."""
PROJECT = "project"
"""The tag with the machine and folder of the project that logged a run."""


def store_uri(root: Path) -> str:
    """Return the address of the store: ``MLFLOW_TRACKING_URI``, or `mlflow.db` in ``root``."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    path = str(root.resolve() / "mlflow.db")
    # SQLAlchemy decodes %25 and stops at a question mark. Quoting does not help, as MLflow creates a folder of the name
    # that the URI has, quoted. Relative to the project, the path has no such characters.
    if "%" in path or "?" in path:
        path = os.path.relpath(path)
    return f"sqlite:///{path}"


def shown(uri: str) -> str:
    """Return the address of a store as messages show it, without its password."""
    return re.sub(r"(://[^/:@]*):[^/@]*@", r"\1:***@", uri)


def is_shared(uri: str, root: Path) -> bool:
    """Return True if other projects may log to the store, too: it is not that of the project in ``root``."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) and uri != f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifacts_uri(root: Path) -> str:
    """Return where the store of the project in ``root`` keeps files."""
    return (root.resolve() / "mlartifacts").as_uri()


def connect(uri: str, experiment: str) -> MlflowClient:
    """Return a client of the store, which is asked for an experiment to see that it answers.

    Raises:
        UserError: the store cannot be used, or the experiment is deleted.
    """
    try:
        with store_errors():
            client = MlflowClient(uri)
            found = client.get_experiment_by_name(experiment)
    except (StoreError, ImportError, ValueError) as error:  # no driver for the database; not an address
        raise UserError(
            f"MLflow: the store {shown(uri)} cannot be used ({root_cause(error)}); "
            "set MLFLOW_TRACKING_URI to another, or unset it to use mlflow.db here"
        ) from None
    if found is not None and found.lifecycle_stage == "deleted":
        raise UserError(
            f"MLflow: experiment {experiment!r} is deleted; "
            f"`uv run mlflow experiments restore --experiment-id {found.experiment_id}` brings it back"
        )
    return client


def find_runs(client: MlflowClient, experiment: str, name: str, fingerprint: str) -> list[Run]:
    """Return the runs of that name and fingerprint, finished ones first."""
    # SQLite takes twice as long to search for both, and longer with every run.
    runs = [
        run
        for run in client.search_runs([experiment], f"tags.fingerprint = '{fingerprint}'")
        if run.info.run_name == name
    ]
    return sorted(runs, key=lambda run: run.info.status != FINISHED)
