"""Publish a trained network as a model that MLflow can load and serve."""

import re
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import pipeline
from pipeline import data
from pipeline.data import Summary
from pipeline.records import Record
from pipeline.settings import user_code
from pipeline.tracking.client import MlflowClient
from pipeline.training.outputs import outputs

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

FORBIDDEN = re.compile(r"[/:.%\"']")
"""What MLflow takes in no name of a model."""
SERVING_REQUIREMENTS = ("numpy", "pydantic", "ruamel.yaml", "safetensors", "simpleeval", "torch")
"""The packages that `pipeline.tracking.serving` needs, pinned in every model; for texts, tokenizers too."""


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
    if (present := client.get_run(run_id).outputs) and present.model_outputs:
        return
    import mlflow.pyfunc
    from mlflow.models import Model

    example = data.example(prepared)
    requirements = [*SERVING_REQUIREMENTS, *(["tokenizers"] if summary.kind == "text" else [])]
    code = [Path(pipeline.__file__).parent]
    name = record.run.model.name
    if user_code.is_builder(name) and (source := user_code.source(name)):
        code.append(source)
    with tempfile.TemporaryDirectory() as scratch:
        network = Path(scratch) / record.run.name
        shutil.copytree(folder, network)
        for file in ("summary.json", data.TOKENIZER):
            if (prepared / file).exists():
                shutil.copy(prepared / file, network)
        mlflow.set_tracking_uri(client.tracking_uri)
        mlflow.set_experiment(experiment_id=experiment)
        Model.log(
            artifact_path=None,
            name=FORBIDDEN.sub("-", f"{record.run.task}-{record.run.scheduler}"),
            flavor=mlflow.pyfunc,
            run_id=run_id,
            loader_module="pipeline.tracking.serving",
            data_path=str(network),
            code_paths=[str(path) for path in code],
            signature=_signature(example, outputs(record.run.loss, len(summary.classes))),
            input_example=_table(example) if isinstance(example, str) else example,
            pip_requirements=[f"{name}=={version(name)}" for name in requirements],
        )


def _signature(example: Any, width: int) -> "ModelSignature":
    """Return the types and shapes that a model takes and answers; ``width`` is its number of outputs."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec

    if isinstance(example, str):
        inputs = Schema([ColSpec(DataType.string, "text")])
    else:
        inputs = Schema([TensorSpec(example.dtype, (-1, *example.shape[1:]))])
    return ModelSignature(inputs, Schema([TensorSpec(np.dtype(np.float32), (-1, width))]))


def _table(text: str) -> Any:
    import pandas

    return pandas.DataFrame({"text": [text]})
