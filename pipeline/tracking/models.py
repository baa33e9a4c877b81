"""Publish a trained network as a model that MLflow can load and serve."""

import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.entities import LoggedModelStatus

import pipeline
from pipeline import datasets, user_code
from pipeline.datasets import Summary
from pipeline.datasets.columns import Encoding
from pipeline.losses import LOSSES
from pipeline.runs.records import Record
from pipeline.tracking.client import MlflowClient

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

FORBIDDEN = re.compile(r"[/:.%\"']")
"""What MLflow takes in no name of a model."""
SERVING_REQUIREMENTS = ("numpy", "pydantic", "ruamel.yaml", "safetensors", "simpleeval", "torch")
"""The packages that `pipeline.tracking.serving` needs, pinned in every model; texts add tokenizers, tables pandas, and
models of torchvision that."""


def publish(
    client: MlflowClient, experiment: str, run_id: str, record: Record, folder: Path, prepared: Path, summary: Summary
) -> None:
    """Add a model to a run in MLflow, unless the run has one.

    The model needs no pickle: MLflow stores the run's files and this package, and `pipeline.tracking.serving` puts
    them together again.

    Args:
        client: of the store.
        experiment: MLflow's id of the run's experiment.
        run_id: MLflow's id of the run.
        record: the run.
        folder: the run's files, its weights among them.
        prepared: the folder of the prepared data.
        summary: of the prepared data.
    """
    if published(client, experiment, run_id):
        return
    import mlflow.pyfunc
    from mlflow.models import Model

    example, encoding = datasets.example(prepared), datasets.encoding(prepared)
    name = record.run.workload.model.name
    more = {"tokenizers": (prepared / datasets.TOKENIZER).exists(), "pandas": encoding is not None}
    more["torchvision"] = "torchvision" in record.run.workload.packages
    requirements = [*SERVING_REQUIREMENTS, *(package for package, is_needed in more.items() if is_needed)]
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
            input_example=_table(example) if isinstance(example, str) else example,
            pip_requirements=[f"{name}=={version(name)}" for name in requirements],
        )
    if published(client, experiment, run_id) != logged.model_id:
        client.delete_logged_model(logged.model_id)


def published(client: MlflowClient, experiment: str, run_id: str) -> str | None:
    """Return MLflow's id of a run's model; the first, if projects that share the store have published one each."""
    models = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    ready = [model for model in models if model.status == LoggedModelStatus.READY]
    first = min(ready, key=lambda model: (model.last_updated_timestamp, model.model_id), default=None)
    return first.model_id if first else None


def _signature(example: Any, encoding: Encoding | None, record: Record, summary: Summary) -> "ModelSignature":
    """Return the types and shapes that a model takes and answers."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType

    if encoding is not None:
        # As a double, MLflow would refuse whole numbers, and as a text or a boolean, it would fill in missing values.
        any_value: Any = AnyType
        inputs = Schema([ColSpec(any_value(), column.name) for column in encoding.columns])
    elif isinstance(example, str):
        inputs = Schema([ColSpec(DataType.string, "text")])
    else:
        inputs = Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))])
    width = LOSSES[record.run.workload.loss].outputs(len(summary.classes), summary.vocabulary_size)
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))


def _table(text: str) -> Any:
    import pandas

    return pandas.DataFrame({"text": [text]})
