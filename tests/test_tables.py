"""A task on a table from end to end: from a file to a served model."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline import datasets
from tests.helpers.data import people
from tests.helpers.project import FOREIGN, add_task
from tests.helpers.stages import SMALL, Stages, expected, served

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


@pytest.mark.slow
def test_a_table_end_to_end(run_stages: Stages, tmp_path: Path) -> None:
    """A regression with the user's own linear network explains nearly all of the variance."""
    people(400).to_csv(tmp_path / "t.csv", index=False)
    builder = "import torch\ndef build(shape, outputs): return torch.nn.Linear(shape[0], outputs)\n"
    (tmp_path / "linear.py").write_text(builder)
    task = """
  shop:
    dataset: {name: table, path: t.csv, target: spent, drop: [buys, id]}
    model: "linear:build"
    loss: mean-squared-error
    optimizer: adam
    lr: 0.02
    epochs: 30
    batch_size: 32
"""
    add_task(tmp_path, task)
    found = run_stages(task="shop", **SMALL)
    assert found["constant"]["test_r2"] > 0.98
    assert found["constant"]["test_rmse"] == pytest.approx(5, abs=2)  # the deviation of the noise in `spent`
    model, record = served()
    encoding, rows_of = datasets.encoding(Path("data")), pd.read_csv("t.csv")
    assert encoding is not None
    answers = encoding.answers(expected(record, torch.from_numpy(encoding.encoded(rows_of))))
    assert np.abs(model.predict(rows_of) - answers).max() < 1e-3
