"""If data, network and loss do not fit together, a one-line error comes before any training or deletion."""

import os
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.errors import UserError
from pipeline.runs import params
from pipeline.stages.common import Machine
from pipeline.stages.train import train
from tests.helpers.project import edit


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"model": "flat:build"}, "model flat:build returns (2, 3) for 2 examples; it must return (2, 10)"),
        ({"model": "flat:narrow"}, "model flat:narrow does not take the data of digits"),
        (
            {"model": "flat:normed", "batch_size": 4},
            "1077 examples in batches of 4 leave one for the last: set another",
        ),
        ({"normalize": "{mean: [0.5, 0.5, 0.5], std: [1, 1, 1]}"}, "normalize is for 3 channels, but digits has 1"),
        ({"loss": "bce-with-logits"}, "loss bce-with-logits is for two classes; digits has 10"),
        ({"train_subset": 2000}, "train_subset: 2000 is more than the 1077 training examples"),
    ],
)
def test_a_mismatch_is_reported_before_training(
    project: Path, changes: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [*os.sys.path])  # type: ignore[attr-defined]
    builder = "import torch\ndef build(s, n): return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))\n"
    builder += "def narrow(s, n): return torch.nn.Linear(5, n)\n"
    builder += (
        "def normed(s, n): return torch.nn.Sequential(build(s, n), torch.nn.Linear(3, n), torch.nn.BatchNorm1d(n))\n"
    )
    (project / "flat.py").write_text(builder)
    (project / "models" / "mine").mkdir(parents=True)
    edit(project, seeds=1, **{f"tasks__digits-mlp__{key}": value for key, value in changes.items()})
    with pytest.raises(UserError) as raised:
        train(params.load(), Console(quiet=True), Machine(jobs=1, device="cpu"))
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
    assert (project / "models" / "mine").exists()
    assert not (project / "models" / "sweep.json").exists()
