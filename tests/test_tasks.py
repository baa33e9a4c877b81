"""Every task from end to end on few examples: data, network, training and figures."""

import csv
import json
import re
import tarfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer

from pipeline import datasets
from pipeline.datasets import text
from pipeline.datasets.store import padded
from pipeline.networks import TorchvisionModel
from pipeline.runs import params, records
from pipeline.training.training_set import inputs
from tests.helpers.commands import Command
from tests.helpers.data import draw_pictures, write_texts
from tests.helpers.project import FOREIGN, ROOT, add_task, edit, load, set_model
from tests.helpers.stages import MIRROR, SMALL, Stages, expected, rows, served

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (MIRROR / name).is_dir(), reason=f"DATA_MIRROR names no folder with {name}")


@pytest.mark.slow
def test_square_mlp_end_to_end(run_stages: Stages) -> None:
    found = run_stages(
        task="square-mlp", scheduler="[constant,cosine]", seeds="[24,25]", **{"tasks__square-mlp__epochs": 60}
    )
    compared = {"verdict", "difference", "low", "high", "p"}
    figures = {"place", "test_loss", "sd", "bound", "seeds", "lr", "diverged", "dead"}
    assert set(found["cosine"]) == compared | figures
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


@needs("mnist")
@pytest.mark.slow
@pytest.mark.parametrize("task", ["mnist-mlp", "mnist-cnn"])
def test_mnist_end_to_end(run_stages: Stages, task: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", str(MIRROR))
    found = run_stages(task=task, **SMALL, **{f"tasks__{task}__epochs": 1, f"tasks__{task}__train_subset": 4000})
    assert found["constant"]["test_accuracy"] > 0.7
    (run,) = {row["train_loss"] for row in rows("curves.csv") if row["scheduler"] == "constant"}
    assert 0 < float(run) < 2
    model, record = served()
    x = datasets.read(Path("data"), "test").x[:5]
    assert np.abs(model.predict(x.numpy()) - expected(record, x)).max() < 1e-5


@pytest.fixture
def jpegs(tmp_path: Path) -> Path:
    """A folder with real CIFAR-10 pictures if a mirror has them, and with squares of one colour otherwise."""
    folder = tmp_path / "pictures"
    archive = MIRROR / "cifar10-jpeg" / "cifar10-jpeg.tar.xz"
    if not archive.exists():
        draw_pictures(folder / "train", 20, (32, 32), "jpg")
        draw_pictures(folder / "test", 10, (32, 32), "jpg")
        return folder
    with tarfile.open(archive, "r|xz") as files:
        for member in files:
            if member.isfile() and int(Path(member.name).stem) % 300 < 2:
                file = folder / Path(*Path(member.name).parts[-3:])
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(files.extractfile(member).read())  # type: ignore[union-attr]
    return folder


@pytest.mark.slow
def test_cifar10_lenet_end_to_end(run_stages: Stages, jpegs: Path) -> None:
    dataset = f"{{name: image-folder, path: {jpegs}}}"
    name = "tasks__cifar10-lenet__"
    found = run_stages(task="cifar10-lenet", **SMALL, **{f"{name}epochs": 1, f"{name}dataset": dataset})
    assert found["constant"]["test_loss"] < 2.4
    pixels = datasets.read(Path("data"), "train").x
    record = records.read(Path("models", "constant-s0"))
    x = inputs(pixels, datasets.summary(Path("data")), record.run.workload)
    assert (x.min() >= -1) & (x.max() <= 1) & (x.min() < -0.9)
    assert torch.allclose(x, pixels / 127.5 - 1, atol=1e-6)


def optimizer_of(run: params.Run) -> dict[str, Any]:
    settings: dict[str, Any] = run.workload.optimizer.resolve()
    return settings


def test_mnist_mlp_is_the_published_recipe() -> None:
    run = load(task="mnist-mlp", scheduler="cosine").runs(55_000)[0]
    assert (run.lr, run.workload.batch_size, run.epochs, run.workload.loss, run.optimizer) == (
        0.1,
        128,
        50,
        "cross-entropy",
        "sgd",
    )
    assert optimizer_of(run)["momentum"] == 0.9
    assert run.resolved()["schedule"] | {"T_max": 50, "eta_min": 1e-6} == run.resolved()["schedule"]


def test_mnist_cnn_is_the_published_recipe() -> None:
    run = load(task="mnist-cnn").runs()[0]
    assert (run.workload.loss, run.workload.batch_size, run.epochs, run.lr, optimizer_of(run)["class"]) == (
        "nll",
        64,
        10,
        1e-3,
        "Adam",
    )


def test_cifar10_lenet_is_the_published_recipe() -> None:
    run = load(task="cifar10-lenet", scheduler="step").runs()[0]
    assert (run.lr, run.workload.batch_size, run.epochs, run.flat()["optimizer.momentum"]) == (0.001, 4, 10, 0.9)
    assert (run.flat()["scheduler.step_size"], run.flat()["scheduler.gamma"]) == (5, 0.1)


# texts


def test_imdb_lstm_compares_adam_with_sgd_at_one_rate() -> None:
    runs = load(task="imdb-lstm", scheduler="constant", seeds=1).runs()
    assert [(run.name, run.lr) for run in runs] == [("constant-adam-s0", 1e-3), ("constant-sgd-s0", 1e-3)]
    assert (optimizer_of(runs[1])["class"], optimizer_of(runs[1])["momentum"]) == ("SGD", 0)
    assert (runs[0].workload.batch_size, runs[0].epochs, runs[0].workload.dataset.resolve()["vocabulary_size"]) == (
        32,
        5,
        25_000,
    )
    assert optimizer_of(load(task="digits-mlp", scheduler="constant").runs()[0])["momentum"] == 0.9


TINY = "{name: lstm, embedding: 8, hidden: 8, layers: 2, dropout: 0.0}"


@needs("imdb")
@pytest.mark.slow
def test_imdb_lstm_end_to_end(run_stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_MIRROR", str(MIRROR))
    small = {"train_subset": 64, "max_length": 24, "epochs": 2, "model": TINY}
    changes = {f"tasks__imdb-lstm__{key}": value for key, value in small.items()}
    found = run_stages(task="imdb-lstm", scheduler="constant", seeds=1, **changes)
    summary = datasets.summary(Path("data"))
    assert summary.examples == {"train": 22_500, "val": 2_500, "test": 25_000}
    assert summary.vocabulary_size == 25_002
    train = datasets.read(Path("data"), "train", max_length=256, subset=1000)
    assert train.x.shape == (1000, 256)
    assert 0.4 < train.y.float().mean() < 0.6
    assert set(found) == {"constant-adam", "constant-sgd"}
    assert 0.45 < found["constant-adam"]["test_accuracy"] < 0.65


@pytest.mark.slow
def test_a_text_folder_end_to_end(run_stages: Stages, tmp_path: Path) -> None:
    write_texts(tmp_path / "mine", 40)
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
    add_task(tmp_path, task)
    found = run_stages(task="my-texts", scheduler="constant", seeds=1)
    assert found["constant"]["test_accuracy"] == 1  # each text contains its class, "good" or "bad"
    model, record = served()
    texts = ["A good day", "bad, bad, bad", ""]
    encoded = text.tokenize(Tokenizer.from_file("data/tokenizer.json"), texts)
    x = torch.from_numpy(padded(**encoded, max_length=12))
    answer = model.predict(pd.DataFrame({"text": texts}))
    assert np.abs(answer - expected(record, x)).max() < 1e-6
    begun = [row for row in rows("parameters.csv") if row["layer"] == "embedding.weight" and row["when"] == "start"]
    assert float(begun[0]["largest"]) == pytest.approx(0.5)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_readmes_worked_example(run_stages: Stages, tmp_path: Path) -> None:
    """The README's model and task are trained on made-up pictures."""
    (model,) = (block for block in blocks("python") if "def build" in block)
    (task,) = (block for block in blocks("yaml") if "image-folder" in block)
    assert len(model.splitlines()) + len(task.splitlines()) < 20
    (tmp_path / "my_model.py").write_text(model)
    add_task(tmp_path, task)
    draw_pictures(tmp_path / "pictures", 40, (40, 30), "jpg")
    found = run_stages(task="my-pictures", **SMALL)
    assert found["constant"]["test_accuracy"] == 1
    served_model, record = served()
    x = datasets.read(Path("data"), "val").x[:3]
    assert np.abs(served_model.predict(x.numpy()) - expected(record, x)).max() < 1e-5


@pytest.mark.slow
def test_a_model_of_torchvision_end_to_end(pipeline: Command, project: Path, tmp_path: Path) -> None:
    """The model starts with weights for other classes, which causes a warning, and is trained on grey pictures."""
    torch.manual_seed(1)
    begun = TorchvisionModel(name="torchvision:resnet18", small_pictures=True).build((3, 8, 8), 3).state_dict()
    torch.save(begun, project / "begun.pth")
    set_model(project, name="torchvision:resnet18", small_pictures=True, weights="begun.pth")
    changes = {"epochs": 1, "train_subset": 32, "batch_size": 16}
    edit(project, scheduler="constant", seeds=1, **{f"tasks__digits-mlp__{key}": each for key, each in changes.items()})
    assert pipeline("plan").returncode == 0
    assert set(json.loads((project / "plan" / "code.json").read_text())) == {"begun.pth"}
    done = pipeline("train", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert "warning: begun.pth: its head fc is for 3 classes, not 10; it is left out and starts random" in done.stdout
    done = pipeline("evaluate", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    with (project / "results" / "parameters.csv").open() as file:
        layers = {(row["layer"], row["when"]): row for row in csv.DictReader(file)}
    assert len(layers) == 2 * 62
    assert float(layers["conv1.weight", "start"]["norm"]) == pytest.approx(
        begun["conv1.weight"].norm().item(), rel=1e-5
    )
    (project / "begun.pth").unlink()  # because the published model does not need the file
    served_model, record = served()
    x = datasets.read(Path("data"), "test").x[:5]
    assert np.abs(served_model.predict(x.numpy()) - expected(record, x)).max() < 1e-5
    (requirements,) = project.glob("mlartifacts/**/requirements.txt")
    assert f"torchvision=={version('torchvision')}" in requirements.read_text().split()
