"""Every task for real, small: its data, its network, its training, its figures."""

import csv
import json
import os
import re
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow import MlflowClient
from tokenizers import Tokenizer

from pipeline import data, records
from pipeline.data import text
from pipeline.training import evaluation
from pipeline.training import loop as training
from tests.conftest import ROOT, Command, edit
from tests.data.test_folders import draw, write

MIRROR = Path(os.environ.get("DATA_MIRROR", "nowhere"))
Stages = Callable[..., dict[str, Any]]


def needs(name: str) -> pytest.MarkDecorator:
    """Skip a test where `DATA_MIRROR` names no folder with these data."""
    return pytest.mark.skipif(not (MIRROR / name).is_dir(), reason=f"DATA_MIRROR names no folder with {name}")


@pytest.fixture
def stages(pipeline: Command, project: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """Run download, train and evaluate, and return results/metrics.json."""
    monkeypatch.setattr("sys.path", [*sys.path])

    def run(**changes: Any) -> dict[str, Any]:
        edit(project, **changes)
        for command in (["download"], ["train", "--jobs", "2"], ["evaluate", "--jobs", "1"]):
            done = pipeline(*command, PIPELINE_DEVICE="cpu")
            assert done.returncode == 0, done.stdout + done.stderr
        metrics: dict[str, Any] = json.loads((project / "results" / "metrics.json").read_text())
        return metrics

    return run


def rows(name: str) -> list[dict[str, str]]:
    with Path("results", name).open() as file:
        return list(csv.DictReader(file))


def served() -> tuple[Any, records.Record]:
    """The first published model, and the record of its run."""
    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    client = MlflowClient()
    experiment = next(each for each in client.search_experiments() if each.name != "Default")
    logged = client.search_logged_models([experiment.experiment_id])[0]
    assert logged.source_run_id is not None
    name = client.get_run(logged.source_run_id).info.run_name
    return mlflow.pyfunc.load_model(f"models:/{logged.model_id}"), records.read(Path("models", name))


def expected(record: records.Record, x: torch.Tensor) -> np.ndarray:
    summary = data.summary(Path("data"))
    network = evaluation.load(record, Path("models", record.run.name), summary).eval()
    answer: np.ndarray = network(training.inputs(x, summary, record.run)).detach().numpy()
    return answer


# square-mlp


def test_square_mlp_end_to_end(stages: Stages) -> None:
    metrics = stages(
        task="square-mlp", scheduler="[constant,cosine]", seeds="[24,25]", **{"tasks__square-mlp__epochs": 60}
    )
    figures = {"test_loss", "test_loss_std", "difference", "p", "verdict", "diverged", "dead"}
    assert set(metrics["cosine"]) == figures
    curves = rows("curves.csv")
    assert {row["val_accuracy"] for row in curves} == {""}
    assert {row["base_lr"] for row in curves if row["scheduler"] == "cosine"} == {"0.001"}
    assert {row["when"] for row in rows("parameters.csv")} == {"start", "end"}
    assert len(rows("learning_curves.csv")) == 4
    for name in ("ranking", "learning_curves", "parameters"):
        assert Path("results", f"{name}.png").stat().st_size > 10_000
    model, record = served()
    x = torch.tensor([[0.3], [0.7]])
    assert np.abs(model.predict(x.numpy()) - expected(record, x)).max() < 1e-6


# pictures

SMALL = {"scheduler": "[constant,step]", "seeds": 1}


@needs("mnist")
@pytest.mark.slow
@pytest.mark.parametrize("task", ["mnist-mlp", "mnist-cnn"])
def test_mnist_end_to_end(stages: Stages, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", str(MIRROR))
    metrics = stages(task=task, **SMALL, **{f"tasks__{task}__epochs": 1, f"tasks__{task}__train_subset": 4000})
    assert metrics["constant"]["test_accuracy"] > 0.7
    (run,) = {row["train_loss"] for row in rows("curves.csv") if row["scheduler"] == "constant"}
    assert 0 < float(run) < 2
    model, record = served()
    x = data.read(Path("data"), "test").x[:5]
    assert np.abs(model.predict(x.numpy()) - expected(record, x)).max() < 1e-5


@pytest.fixture
def jpegs(tmp_path: Path) -> Path:
    """Real CIFAR-10 pictures where there is a mirror with them, 60 of each class; squares of one colour elsewhere."""
    folder = tmp_path / "pictures"
    archive = MIRROR / "cifar10-jpeg" / "cifar10-jpeg.tar.xz"
    if not archive.exists():
        draw(folder / "train", 60, (32, 32), "jpg")
        draw(folder / "test", 10, (32, 32), "jpg")
        return folder
    with tarfile.open(archive, "r|xz") as files:
        for member in files:
            if member.isfile() and int(Path(member.name).stem) % 100 < 2:
                file = folder / Path(*Path(member.name).parts[-3:])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(files.extractfile(member).read())  # type: ignore[union-attr]
    return folder


def test_cifar10_lenet_end_to_end(stages: Stages, jpegs: Path) -> None:
    dataset = f"{{name: image-folder, path: {jpegs}}}"
    name = "tasks__cifar10-lenet__"
    metrics = stages(task="cifar10-lenet", **SMALL, **{f"{name}epochs": 1, f"{name}dataset": dataset})
    assert metrics["constant"]["test_loss"] < 2.4
    pixels = data.read(Path("data"), "train").x
    record = records.read(Path("models", "constant-s0"))
    x = training.inputs(pixels, data.summary(Path("data")), record.run)
    assert (x.min() >= -1) & (x.max() <= 1) & (x.min() < -0.9)
    assert torch.allclose(x, pixels / 127.5 - 1, atol=1e-6)


# texts


TINY = "{name: lstm, embedding: 8, hidden: 8, layers: 2, dropout: 0.0}"


@needs("imdb")
@pytest.mark.slow
def test_imdb_lstm_end_to_end(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", str(MIRROR))
    small = {"train_subset": 64, "max_length": 24, "epochs": 2, "model": TINY}
    changes = {f"tasks__imdb-lstm__{key}": value for key, value in small.items()}
    metrics = stages(task="imdb-lstm", scheduler="constant", seeds=1, **changes)
    assert set(metrics) == {"constant-adam", "constant-sgd"}
    assert 0.45 < metrics["constant-adam"]["test_accuracy"] < 0.65


def test_a_text_folder_end_to_end(stages: Stages, tmp_path: Path) -> None:
    write(tmp_path / "mine", 40)
    (tmp_path / "vectors.txt").write_text("good" + " 0.5" * 8 + "\n")
    task = f"""
  my-texts:
    dataset: {{name: text-folder, path: mine, vocabulary_size: 50, vectors: vectors.txt}}
    model: {TINY}
    loss: bce-with-logits
    optimizer: adam
    lr: 0.02
    epochs: 12
    batch_size: 8
    max_length: 12
"""
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("\ntasks:\n", f"\ntasks:{task}"))
    metrics = stages(task="my-texts", scheduler="constant", seeds=1)
    assert metrics["constant"]["test_accuracy"] == 1  # `good` and `bad` stand in the texts
    model, record = served()
    texts = ["A good day", "bad, bad, bad", ""]
    encoded = text.encode(Tokenizer.from_file("data/tokenizer.json"), texts)
    x = torch.from_numpy(text.padded(**encoded, max_length=12))
    answer = model.predict(pd.DataFrame({"text": texts}))
    assert np.abs(answer - expected(record, x)).max() < 1e-6
    begun = [row for row in rows("parameters.csv") if row["layer"] == "embedding.weight" and row["when"] == "start"]
    assert float(begun[0]["largest"]) == pytest.approx(0.5)


# one's own


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_readmes_worked_example(stages: Stages, tmp_path: Path) -> None:
    """Its model and its task, on pictures drawn here."""
    (model,) = (block for block in blocks("python") if "def build" in block)
    (task,) = (block for block in blocks("yaml") if "image-folder" in block)
    assert len(model.splitlines()) + len(task.splitlines()) < 20
    (tmp_path / "my_model.py").write_text(model)
    params = (tmp_path / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("\ntasks:\n", f"\ntasks:\n{task}"))
    draw(tmp_path / "pictures", 40, (40, 30), "jpg")
    metrics = stages(task="my-pictures", **SMALL)
    assert metrics["constant"]["test_accuracy"] == 1
    served_model, record = served()
    x = data.read(Path("data"), "val").x[:3]
    assert np.abs(served_model.predict(x.numpy()) - expected(record, x)).max() < 1e-5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "flat:build"}, "model flat:build answers 2 examples with (2, 3); it must be (2, 10)"),
        ({"model": "flat:narrow"}, "model flat:narrow does not take the data of digits"),
        ({"normalize": "{mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}"}, "normalize is for 3 channels, but digits has 1"),
        ({"loss": "bce-with-logits"}, "loss bce-with-logits is for two classes; digits has 10"),
        ({"train_subset": 2000}, "train_subset: 2000 is more than the 1077 training examples"),
    ],
)
def test_what_does_not_fit_together_is_told_of_before_training(
    pipeline: Command, project: Path, changes: dict[str, Any], says: str
) -> None:
    builder = "import torch\ndef build(s, n): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))\n"
    (project / "flat.py").write_text(builder + "def narrow(s, n): return torch.nn.Linear(5, n)\n")
    (project / "models" / "mine").mkdir(parents=True)
    edit(project, seeds=1, **{f"tasks__digits-mlp__{key}": value for key, value in changes.items()})
    done = pipeline("train", "--jobs", "1", "--device", "cpu")
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert says in line
    assert (project / "models" / "mine").exists()
    assert not (project / "models" / "sweep.json").exists()
