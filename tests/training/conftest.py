from pathlib import Path

import pytest

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.datasets.square import Square
from pipeline.datasets.store import Split
from tests.training.fitting import Splits


@pytest.fixture(scope="session")
def splits(digits: Path) -> Splits:
    """The training split and the validation split of the digits."""
    return datasets.read(digits, "train"), datasets.read(digits, "val")


@pytest.fixture(scope="session")
def few(splits: Splits) -> Splits:
    """The first 200 training digits and the validation split, for short trainings."""
    return Split(splits[0].x[:200], splits[0].y[:200]), splits[1]


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Splits]:
    """The data of square-mlp: the summary, the training split and the validation split."""
    folder = tmp_path_factory.mktemp("squares")
    summary = datasets.prepare(Square(), folder, folder)
    return summary, (datasets.read(folder, "train"), datasets.read(folder, "val"))
