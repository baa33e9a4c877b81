"""The MLflow experiment of a task: found or created, its note kept, and what killed processes left running ended."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mlflow.entities import Experiment

from pipeline.tracking.charts import NOTE
from pipeline.tracking.client import PROJECT, MlflowClient, MlflowException, artifacts_uri
from pipeline.tracking.live import SESSION


def open_experiment(client: MlflowClient, name: str, root: Path, tags: Mapping[str, str]) -> Experiment:
    """Return the experiment of a task, which is created if it is missing.

    Args:
        client: of the store.
        name: of the task.
        root: the project's folder.
        tags: of the experiment, its note among them; the last verdict stays in the note until there is another.
    """
    experiment = client.get_experiment_by_name(name) or _create(client, name, root)
    _, _, verdict = experiment.tags.get(NOTE, "").partition("\n\n")
    for tag, text in {**tags, NOTE: "\n\n".join(filter(None, [tags[NOTE], verdict]))}.items():
        client.set_experiment_tag(experiment.experiment_id, tag, text)
    return experiment


def _create(client: MlflowClient, name: str, root: Path) -> Experiment:
    location = artifacts_uri(root) if client.tracking_uri.startswith("sqlite:") else None
    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        if experiment := client.get_experiment_by_name(name):
            return experiment  # another project was quicker
        raise


def end_orphans(client: MlflowClient, experiment: str, project: str, is_alive: Callable[[str], bool]) -> None:
    """End the runs of a project that were running when their process was killed.

    Args:
        client: of the store.
        experiment: MLflow's id of it.
        project: what the tag `project` says of its runs.
        is_alive: returns True for the session of a process that still trains.
    """
    for run in client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000):
        if run.data.tags.get(PROJECT) == project and not is_alive(run.data.tags.get(SESSION, "")):
            client.set_terminated(run.info.run_id, "KILLED")
