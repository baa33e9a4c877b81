"""Which sweeps are being trained."""

from pathlib import Path

import pytest

from pipeline.sweep.lock import exclusive, is_training, session


def test_a_sweep_is_known_while_it_is_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "cache"
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    other = session()
    monkeypatch.chdir(tmp_path)
    assert session() != other
    with exclusive(tmp_path / "models", cached, pytest.fail):
        assert is_training(cached, session())
        assert not is_training(cached, other)
    assert not is_training(cached, session())
