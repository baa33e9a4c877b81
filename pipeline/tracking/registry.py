"""MLflow's registry: the model of the scheduler that a verdict recommends, under the name of its task."""

from collections.abc import Mapping

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipeline.tracking.client import MlflowClient

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
    champion = _champion(client, task)
    if champion is not None and not is_free:
        return
    version = next((each for each in _versions(client, task) if each.run_id == run_id), None)
    if version is None:
        model = client.get_logged_model(model_id)
        version = client.create_model_version(task, model.artifact_location, run_id, tags=dict(tags), model_id=model_id)
    for key, value in tags.items():
        client.set_model_version_tag(task, version.version, key, value)
    if champion is not None and champion.version != version.version:
        client.set_registered_model_alias(task, PREVIOUS, champion.version)
    if champion is None or champion.version != version.version:
        client.set_registered_model_alias(task, CHAMPION, version.version)


def _champion(client: MlflowClient, task: str) -> ModelVersion | None:
    if not client.search_registered_models(f"name = '{task}'"):
        client.create_registered_model(task)
    try:
        return client.get_model_version_by_alias(task, CHAMPION)
    except MlflowException:
        return None


def _versions(client: MlflowClient, task: str) -> list[ModelVersion]:
    return list(client.search_model_versions(f"name = '{task}'"))
