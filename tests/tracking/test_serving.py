"""The module that loads published models."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save
from tokenizers import Tokenizer

from pipeline import datasets
from pipeline.runs import records
from pipeline.runs.records import Record
from pipeline.tracking import models
from pipeline.tracking.serving import Network
from pipeline.training.state import Training
from tests.helpers.data import TEXT
from tests.helpers.project import ROOT, load
from tests.training.fitting import CPU, fit


def test_a_served_language_model_returns_the_logits_of_the_next_token(tmp_path: Path) -> None:
    """Texts may be of any length, because the end of a text is used as the context."""
    (tmp_path / "t.txt").write_text(TEXT)
    task: dict[str, Any] = {"dataset": {"name": "text-file", "path": "t.txt", "tokens": "characters", "context": 16}}
    task |= {"model": {"name": "gpt", "layers": 1, "heads": 2, "width": 16}, "loss": "next-token"}
    task |= {"optimizer": "adamw", "lr": 0.01, "epochs": 1, "batch_size": 16}
    params = load(task="bottles", tasks__bottles=task, seeds=1)
    data = tmp_path / "data"
    summary = datasets.prepare(params.run_task.dataset, data, tmp_path)
    training = Training(params.runs(summary.examples["train"])[0], summary, CPU)
    epochs = fit(training, (datasets.read(data, "train"), datasets.read(data, "val")))
    record = Record(training.run, "finished", epochs, "cpu", "2", "f")
    records.write(tmp_path / "run", record, save(training.network.state_dict()))

    for file in ("summary.json", datasets.TOKENIZER):
        shutil.copy(data / file, tmp_path / "run")
    served = Network(tmp_path / "run")
    texts = ["12", "199 green bottle", "100 green bottles hang on the wall", ""]
    logits = served.predict(pd.DataFrame({"text": texts}))
    assert logits.dtype == np.float32
    assert logits.shape == (4, summary.vocabulary_size)
    tokenizer = Tokenizer.from_file(str(data / datasets.TOKENIZER))
    network = training.network.eval()
    for text, row in zip(texts, logits, strict=True):
        tokens = torch.tensor([tokenizer.encode(text[-16:] or "\n").ids])
        assert np.abs(network(tokens)[0, -1].detach().numpy() - row).max() < 1e-5


def test_serving_imports_only_the_pinned_requirements() -> None:
    """The module that loads models imports the pinned packages, but no other packages that the project uses."""
    script = (
        "import importlib.metadata, json, sys; import pipeline.tracking.serving\n"
        "owners = importlib.metadata.packages_distributions()\n"
        "print(json.dumps([[name, owners.get(name, [])] for name in {name.split('.')[0] for name in sys.modules}]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {owner.lower() for _, owners in json.loads(done.stdout) for owner in owners}
    assert set(models.SERVING_REQUIREMENTS) <= loaded
    others = {"filelock", "joblib", "matplotlib", "mlflow", "pooch", "psutil", "rich", "scikit-learn", "scipy", "typer"}
    assert not {*others, "torchvision"} & loaded
