"""A language model from end to end: from a text to a served model."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from pipeline import datasets
from tests.helpers.commands import Command
from tests.helpers.data import TEXT
from tests.helpers.project import add_task, edit, tracked
from tests.helpers.stages import served

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


@pytest.mark.slow
def test_a_language_model_end_to_end(pipeline: Command, bottles: Path) -> None:
    run(pipeline, "plan")
    assert "t.txt" in (bottles / "plan" / "data.json").read_text()
    told = run(pipeline, "download").stdout
    entropy = datasets.summary(bottles / "data").language
    assert entropy is not None
    assert f"a model must beat a loss of {entropy.unigram_entropy:.4g} nats a token" in told
    assert "must beat" in run(pipeline, "train", PIPELINE_JOBS="2").stdout
    answer = run(pipeline, "evaluate", PIPELINE_JOBS="1").stdout
    assert "loss in nats a token" in answer.replace("\n", " ") or "Losses are in nats a token" in answer
    assert "perplexity" in answer
    assert '"test_bits_per_character"' in (bottles / "results" / "schedulers.json").read_text()
    logged = tracked(f"sqlite:///{bottles}/mlflow.db", "bottles")
    assert len(logged) == 2
    assert all(each.data.metrics["test/perplexity"] > 1 for each in logged)

    logits = served()[0].predict(pd.DataFrame({"text": ["12", "", "Ü"]}))
    assert logits.shape == (3, datasets.summary(bottles / "data").vocabulary_size)
    assert np.isfinite(logits).all()
