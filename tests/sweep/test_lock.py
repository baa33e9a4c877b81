"""Only one sweep at a time trains in a folder, and half-written files of killed sweeps are removed."""

import threading
from pathlib import Path

import pytest

from pipeline.sweep.lock import exclusive, is_training, session


def test_a_second_sweep_waits_with_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    order: list[str] = []
    waiting = threading.Event()

    def warn(line: str) -> None:
        order.append(line)
        waiting.set()

    def second() -> None:
        with exclusive(tmp_path / "models", tmp_path / ".cache", warn):
            order.append("second")

    thread = threading.Thread(target=second)
    with exclusive(tmp_path / "models", tmp_path / ".cache", order.append):
        thread.start()
        assert waiting.wait(60)
        order.append("first")
    thread.join(60)
    assert order == ["another sweep is training in this folder; this sweep waits until it ends", "first", "second"]


def test_half_written_runs_of_dead_processes_are_removed(tmp_path: Path) -> None:
    dead = tmp_path / "models" / ".cosine-s0.999999999-0123abcd"
    dead.mkdir(parents=True)
    (tmp_path / "models" / "cosine-s1").mkdir()
    with exclusive(tmp_path / "models", tmp_path / ".cache", pytest.fail):
        assert [path.name for path in (tmp_path / "models").iterdir()] == ["cosine-s1"]


def test_a_session_is_training_while_it_holds_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
