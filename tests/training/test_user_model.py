"""User models are found by name, in the current folder too."""

import sys
from pathlib import Path

import pytest

from pipeline.settings.models import is_user_model
from pipeline.training.user_model import builder, source


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_colon_makes_a_user_model() -> None:
    assert is_user_model("my_model:build")
    assert not is_user_model("mlp")


def test_a_module_and_a_package_are_found(tmp_path: Path) -> None:
    (tmp_path / "one_module.py").write_text("def build(shape, classes): return classes\n")
    (tmp_path / "one_package").mkdir()
    (tmp_path / "one_package" / "inner.py").write_text("def build(shape, classes): return shape\n")
    assert builder("one_module:build")(1, 2) == 2
    assert builder("one_package.inner:build")(1, 2) == 1
    assert source("one_module:build") == tmp_path / "one_module.py"
    assert source("one_package.inner:build") == tmp_path / "one_package"
    assert source("no_module:build") is None
