"""A language model from end to end: from a text to a served model."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient

from pipeline import datasets
from pipeline.tracking import models
from tests.helpers.commands import Command
from tests.helpers.data import TEXT
from tests.helpers.project import add_task, edit, weights

TASK = """
  bottles:
    dataset: {name: text-file, path: t.txt, context: 16}
    model: {name: gpt, layers: 1, heads: 2, width: 16}
    loss: next-token
    optimizer: adamw
    lr: 0.01
    epochs: 2
    batch_size: 16
"""
LANGUAGE = {"task": "bottles", "scheduler": "[constant,cosine]", "seeds": 1}


@pytest.fixture
def bottles(project: Path) -> Path:
    """A project with a task whose language model is trained on `TEXT`."""
    (project / "t.txt").write_text(TEXT)
    add_task(project, TASK)
    edit(project, **LANGUAGE)
    return project


def run(pipeline: Command, *arguments: str, **environment: str) -> Any:
    done = pipeline(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    return done


def test_a_language_model_end_to_end(pipeline: Command, bottles: Path) -> None:
    run(pipeline, "plan")
    assert "t.txt" in (bottles / "plan" / "data.json").read_text()
    told = run(pipeline, "download").stdout
    entropy = datasets.summary(bottles / "data").language
    assert entropy is not None
    assert f"a model must beat a loss of {entropy.unigram_entropy:.4g} nats a token" in told
    assert "must beat" in run(pipeline, "train", PIPELINE_JOBS="2").stdout
    first = weights(bottles)
    shutil.rmtree(bottles / ".cache")
    run(pipeline, "train", PIPELINE_JOBS="1")
    assert weights(bottles) == first  # the number of workers does not change bits
    answer = run(pipeline, "evaluate", PIPELINE_JOBS="1").stdout
    assert "loss in nats a token" in answer.replace("\n", " ") or "Losses are in nats a token" in answer
    assert "perplexity" in answer
    told = run(pipeline, "track", "--all-models", PIPELINE_JOBS="1").stdout
    assert "has all 2 runs of bottles, 0 of them new, and a model of each scheduler" in told
    assert '"test_bits_per_character"' in (bottles / "results" / "schedulers.json").read_text()

    (name,) = [name for name in first if name.startswith("cosine")]
    mlflow.set_tracking_uri(f"sqlite:///{bottles}/mlflow.db")
    client = MlflowClient()
    (experiment,) = [each for each in client.search_experiments() if each.name == "bottles"]
    metrics = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")[0].data.metrics
    assert metrics["test/perplexity"] > 1
    logged = {}
    for model in client.search_logged_models([experiment.experiment_id]):
        assert model.source_run_id is not None
        logged[client.get_run(model.source_run_id).info.run_name] = model
    chosen = logged[name]
    assert chosen.source_run_id is not None
    models.promote(client, "bottles", chosen.source_run_id, chosen.model_id, {"scheduler": "cosine"})

    served = mlflow.pyfunc.load_model("models:/bottles@champion")
    logits = served.predict(pd.DataFrame({"text": ["12", "", "Ü"]}))
    assert logits.shape == (3, datasets.summary(bottles / "data").vocabulary_size)
    assert np.isfinite(logits).all()
