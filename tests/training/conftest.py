from pathlib import Path

import pytest

from pipeline import data
from pipeline.data import Summary
from tests.training.fitting import Splits


@pytest.fixture(scope="session")
def splits(digits: Path) -> Splits:
    """The digits' training and validation split."""
    return data.read(digits, "train"), data.read(digits, "val")


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Splits]:
    """The points of square-mlp."""
    folder = tmp_path_factory.mktemp("squares")
    summary = data.prepare({"name": "square"}, folder, folder)
    return summary, (data.read(folder, "train"), data.read(folder, "val"))
