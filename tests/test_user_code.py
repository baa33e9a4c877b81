"""The user's own builders are found by name, even if they are in the current folder."""

import sys
from pathlib import Path

import pytest

from pipeline.user_code import builder, files, is_builder, source


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_a_name_with_a_colon_is_a_builder() -> None:
    assert is_builder("my_model:build")
    assert not is_builder("mlp")
    assert not is_builder(3)


def test_a_module_and_a_package_are_found(tmp_path: Path) -> None:
    (tmp_path / "one_module.py").write_text("def build(shape, classes): return classes\n")
    (tmp_path / "one_package").mkdir()
    (tmp_path / "one_package" / "inner.py").write_text("def build(shape, classes): return shape\n")
    assert builder("model", "one_module:build")(1, 2) == 2
    assert builder("model", "one_package.inner:build")(1, 2) == 1
    assert source("one_module:build") == tmp_path / "one_module.py"
    assert source("one_package.inner:build") == tmp_path / "one_package"
    assert source("no_module:build") is None
    assert files("one_package.inner:build") == [(tmp_path, tmp_path / "one_package" / "inner.py")]
    assert files("no_module:build") == []
