"""Functions that publish trained networks as MLflow models and register the recommended model."""

import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pipeline
from pipeline import datasets, user_code
from pipeline.datasets import Summary
from pipeline.datasets.columns import Encoding
from pipeline.losses import LOSSES
from pipeline.runs.records import Record
from pipeline.tracking.client import LoggedModelStatus, MlflowClient, MlflowException, ModelVersion

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CHAMPION, PREVIOUS = "champion", "previous"
"""The alias of the recommended model, and the alias of the model that was recommended before it."""
FORBIDDEN = re.compile(r"[/:.%\"']")
"""The characters that MLflow does not allow in the name of a model."""
SERVING_REQUIREMENTS = ("numpy", "pydantic", "ruamel.yaml", "safetensors", "simpleeval", "torch")
"""The packages that the module `serving` needs; a published model requires the versions that are installed here."""


def publish(
    client: MlflowClient, experiment: str, run_id: str, record: Record, folder: Path, prepared: Path, summary: Summary
) -> None:
    """Log a run's model in a form that MLflow can load and serve, unless the run already has a published model.

    The model needs no pickle: MLflow stores the run's files and a copy of this package, and the copy's module
    `pipeline.tracking.serving` loads the files. ``folder`` contains the run's files, and ``prepared`` contains the
    prepared data.
    """
    if published(client, experiment, run_id):
        return
    import mlflow.pyfunc
    import pandas
    from mlflow.models import Model

    example, encoding = datasets.example(prepared), datasets.encoding(prepared)
    name = record.run.workload.model.name
    optional = {"tokenizers": (prepared / datasets.TOKENIZER).exists(), "pandas": encoding is not None}
    optional["torchvision"] = "torchvision" in record.run.workload.packages
    requirements = [*SERVING_REQUIREMENTS, *(package for package, is_needed in optional.items() if is_needed)]
    code = [Path(pipeline.__file__).parent]
    if user_code.is_builder(name) and (source := user_code.source(name)):
        code.append(source)
    with tempfile.TemporaryDirectory() as scratch:
        network = Path(scratch) / record.run.name
        shutil.copytree(folder, network)
        for file in ("summary.json", datasets.TOKENIZER, datasets.ENCODING):
            if (prepared / file).exists():
                shutil.copy(prepared / file, network)
        mlflow.set_tracking_uri(client.tracking_uri)
        mlflow.set_experiment(experiment_id=experiment)
        logged = Model.log(
            artifact_path=None,
            name=FORBIDDEN.sub("-", f"{record.run.task}-{record.run.scheduler}"),
            flavor=mlflow.pyfunc,
            run_id=run_id,
            loader_module="pipeline.tracking.serving",
            data_path=str(network),
            code_paths=[str(path) for path in code],
            signature=_signature(example, encoding, record, summary),
            input_example=pandas.DataFrame({"text": [example]}) if isinstance(example, str) else example,
            pip_requirements=[f"{name}=={version(name)}" for name in requirements],
        )
    if published(client, experiment, run_id) != logged.model_id:
        client.delete_logged_model(logged.model_id)


def published(client: MlflowClient, experiment: str, run_id: str) -> str | None:
    """Return MLflow's id of the first model that was published for a run, or None if the run has no published model."""
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    ready = [model for model in models if model.status == LoggedModelStatus.READY]
    first = min(ready, key=lambda model: (model.last_updated_timestamp, model.model_id), default=None)
    return first.model_id if first else None


def promote(
    client: MlflowClient, task: str, run_id: str, model_id: str, tags: Mapping[str, str], replaces: bool = True
) -> None:
    """Make a run's model the champion of its task; the former champion gets the alias `previous`.

    The registered model is named after the task, and the version created from this run gets ``tags``. If ``replaces``
    is False and the task already has a champion, keep that champion.
    """
    if not client.search_registered_models(f"name = '{task}'"):
        with suppress(MlflowException):  # another project may have just created the model
            client.create_registered_model(task)
    last = champion(client, task)
    if last is not None and not replaces:
        return
    version = _version(client, task, run_id) or _register(client, task, run_id, model_id)
    for key, value in tags.items():
        client.set_model_version_tag(task, version.version, key, value)
    if last is not None and last.version != version.version:
        client.set_registered_model_alias(task, PREVIOUS, last.version)
    if last is None or last.version != version.version:
        client.set_registered_model_alias(task, CHAMPION, version.version)


def champion(client: MlflowClient, task: str) -> ModelVersion | None:
    """Return the champion of a task, or None if the task has no champion."""
    try:
        return client.get_model_version_by_alias(task, CHAMPION)
    except MlflowException:
        return None


def _version(client: MlflowClient, task: str, run_id: str) -> ModelVersion | None:
    """Return the first version of the task's registered model that was created from the run ``run_id``, or None."""
    versions = [version for version in client.search_model_versions(f"name = '{task}'") if version.run_id == run_id]
    return min(versions, key=lambda version: int(version.version), default=None)


def _register(client: MlflowClient, task: str, run_id: str, model_id: str) -> ModelVersion:
    """Register a model as a new version; if another project has just registered it too, keep the earlier version."""
    source = client.get_logged_model(model_id).artifact_location
    ours = client.create_model_version(task, source, run_id, model_id=model_id)
    first = _version(client, task, run_id) or ours
    if first.version != ours.version:
        client.delete_model_version(task, ours.version)
    return first


def _signature(example: Any, encoding: Encoding | None, record: Record, summary: Summary) -> "ModelSignature":
    """Return the types and shapes of a model's inputs and outputs."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    if encoding is not None:
        # With exact types, MLflow would reject integers where doubles belong, and fill in missing texts and booleans.
        any_value: Any = AnyType
        inputs = Schema([ColSpec(any_value(), column.name) for column in encoding.columns])
    elif isinstance(example, str):
        inputs = Schema([ColSpec(DataType.string, "text")])
    else:
        inputs = Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))])
    width = LOSSES[record.run.workload.loss].outputs(len(summary.classes), summary.vocabulary_size)
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))
