"""MLflow's registry: the model of the scheduler that a verdict recommends, under the name of its task."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mlflow.entities.model_registry import ModelVersion

from pipeline.tracking.client import MlflowClient, MlflowException

CHAMPION, PREVIOUS = "champion", "previous"
"""The aliases of the model that the latest verdict recommends, and of the one before it."""


def promote(
    client: MlflowClient, task: str, run_id: str, model_id: str, tags: Mapping[str, str], is_free: bool = True
) -> None:
    """Make a model the champion of its task; the one before becomes the previous one.

    Args:
        client: of the store.
        task: the name of the registered model.
        run_id: MLflow's id of the run that trained the model.
        model_id: MLflow's id of the logged model.
        tags: what the version says of itself: its scheduler, the verdict that it rests on.
        is_free: False: a champion stays what it is.
    """
    _create(client, task)
    last = champion(client, task)
    if last is not None and not is_free:
        return
    version = _version(client, task, run_id) or _register(client, task, run_id, model_id)
    for key, value in tags.items():
        client.set_model_version_tag(task, version.version, key, value)
    if last is not None and last.version != version.version:
        client.set_registered_model_alias(task, PREVIOUS, last.version)
    if last is None or last.version != version.version:
        client.set_registered_model_alias(task, CHAMPION, version.version)


def champion(client: MlflowClient, task: str) -> ModelVersion | None:
    """Return the champion of a task; None if it has none."""
    try:
        return client.get_model_version_by_alias(task, CHAMPION)
    except MlflowException:
        return None


def load(uri: str, version: ModelVersion) -> Any:
    """Load a registered model of the store at ``uri``, as MLflow serves it."""
    import mlflow.pyfunc

    mlflow.set_tracking_uri(uri)
    return mlflow.pyfunc.load_model(f"models:/{version.name}/{version.version}")


def _create(client: MlflowClient, task: str) -> None:
    if not client.search_registered_models(f"name = '{task}'"):
        with suppress(MlflowException):  # another project has created it just now
            client.create_registered_model(task)


def _version(client: MlflowClient, task: str, run_id: str) -> ModelVersion | None:
    """Return the first version of a task's model that a run has trained."""
    versions = [each for each in client.search_model_versions(f"name = '{task}'") if each.run_id == run_id]
    return min(versions, key=lambda each: int(each.version), default=None)


def _register(client: MlflowClient, task: str, run_id: str, model_id: str) -> ModelVersion:
    """Register a model, unless another project that does the same is quicker: the server counts versions."""
    source = client.get_logged_model(model_id).artifact_location
    ours = client.create_model_version(task, source, run_id, model_id=model_id)
    first = _version(client, task, run_id) or ours
    if first.version != ours.version:
        client.delete_model_version(task, ours.version)
    return first
