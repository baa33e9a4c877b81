"""A clone that the tests of a file share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dvc.clones import fresh_clone


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Path]:
    """A clone with five schedulers, before `dvc repro`; the sweep has two of the schedulers and one seed."""
    schedulers = ("constant", "cosine", "step", "rex", "wsd")
    changes = {"tasks__digits-mlp__epochs": 2, "seeds": 1, "scheduler": "[constant,cosine]"}
    with fresh_clone(tmp_path_factory.mktemp("small"), empty_store, schedulers, **changes) as folder:
        yield folder
