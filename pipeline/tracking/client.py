"""MLflow's client, set up for this project.

The other modules of this package import MLflow's names from here: MLflow reads some settings while it is imported.
"""

import logging
import os
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# Report a server that is down within seconds; MLflow's default is to retry for minutes.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
# A server's address after each run would be lines without end.
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
# Keep uv.lock out of published models: it names the package registry of whoever trained them.
os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from pipeline.errors import UserError

__all__ = [
    "Dataset",
    "DatasetInput",
    "InputTag",
    "Metric",
    "MlflowClient",
    "MlflowException",
    "Param",
    "Run",
    "RunTag",
    "get_artifact_repository",
]

logging.getLogger("alembic").setLevel(logging.WARNING)  # or each migration of a new store is a line
logging.getLogger("urllib3").setLevel(logging.ERROR)  # or each retry is a line
# MLflow narrates how it saves a model, and logs a failing store's traceback before it raises.
logging.getLogger("mlflow").setLevel(logging.CRITICAL)

CLASHES = (
    *("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"),
    "TEMPORARILY_UNAVAILABLE",
)
"""MLflow's codes of an error where another project has just written the same, or deleted a copy that we knew."""
FINISHED = "FINISHED"
"""MLflow's status of a run that is complete."""
RUNNING = "RUNNING"
"""MLflow's status of a run that has not ended."""
COMPARISON = "comparison"
"""The name of the run that holds the verdict of a sweep."""
KIND = "kind"
"""The tag of a run that was not trained: `comparison`, or `group`."""
GROUP = "group"
"""The kind of a run that holds the mean curve of a group."""
OWN_LR = "own_lr"
"""The tag of a group at the base LR that suits its scheduler."""
PROJECT = "project"
"""The tag with the machine and folder of the project that logged a run."""


def store_uri(root: Path) -> str:
    """Return the address of the store: ``MLFLOW_TRACKING_URI``, or `mlflow.db` in ``root``."""
    if given := os.environ.get("MLFLOW_TRACKING_URI"):
        return given
    path = str(root.resolve() / "mlflow.db")
    # SQLAlchemy decodes %25 and stops at a question mark. MLflow itself makes a folder of whatever the URI says, so
    # that quoting would leave a second folder behind; relative to the project, the path has no such characters.
    if "%" in path or "?" in path:
        path = os.path.relpath(path)
    return f"sqlite:///{path}"


def is_shared(uri: str, root: Path) -> bool:
    """Return True if other projects may log to the store at ``uri``, too: it is not that of the project in ``root``."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) and uri != f"sqlite:///{root.resolve() / 'mlflow.db'}"


def artifacts_uri(root: Path) -> str:
    """Return where a store in ``root`` keeps artifacts."""
    return (root.resolve() / "mlartifacts").as_uri()


def connect(uri: str, experiment: str) -> MlflowClient:
    """Return a client of the store at ``uri``, which is asked for an experiment to see that it answers.

    Raises:
        UserError: the store cannot be used, or the experiment is deleted.
    """
    try:
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
    except Exception as error:  # requests, SQLAlchemy and MLflow each raise their own
        raise UserError(
            f"MLflow: the store {uri} cannot be used ({root_cause(error)}); "
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
    # SQLite takes twice as long, and with every run longer, to find what has both.
    found = [
        run
        for run in client.search_runs([experiment], f"tags.fingerprint = '{fingerprint}'")
        if run.info.run_name == name
    ]
    return sorted(found, key=lambda run: run.info.status != FINISHED)


def root_cause(error: Exception) -> str:
    """Return the first line of the innermost error, which the others only wrap."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return (str(error) or type(error).__name__).splitlines()[0][:300]
