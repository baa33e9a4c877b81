"""With the run cache, no run is trained twice, and a damaged entry is noticed and replaced."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import DamagedError
from pipeline.runs import records
from pipeline.runs.params import Run
from pipeline.sweep import cache
from pipeline.sweep.jobs import Trained
from tests.helpers.project import load
from tests.sweep.sweeping import swept


def in_order(of: list[Run], digits: Path, folder: Path) -> list[Trained]:
    return sorted(swept(of, digits, folder), key=lambda done: done.record.run.name)


def test_a_run_is_trained_once_and_again_if_its_entry_is_damaged(digits: Path, tmp_path: Path) -> None:
    of = load(scheduler=["cosine", "rex"], seeds=1, **{"tasks__digits-mlp__epochs": 2}).runs(1077)
    first = in_order(of, digits, tmp_path)
    renamed = [run.model_copy(update={"name": f"again-{run.name}"}) for run in of]
    second = in_order(renamed, digits, tmp_path)
    assert [done.origin for done in (*first, *second)] == ["trained", "trained", "cached", "cached"]
    for before, after in zip(first, second, strict=True):
        assert after.record == replace(before.record, run=after.record.run)
        assert after.timing == before.timing
        assert records.read(tmp_path / "models" / after.record.run.name) == after.record
        weights = [tmp_path / "models" / done.record.run.name for done in (before, after)]
        assert len({(folder / records.WEIGHTS).read_bytes() for folder in weights}) == 1

    entry = tmp_path / "cache" / cache.RUNS / first[0].record.fingerprint
    for name in ("model.safetensors", "curve.csv", "run.json", cache.TIMING, cache.SUMS):
        for damage in (b"", b"x", None):
            content = (entry / name).read_bytes()
            (entry / name).unlink() if damage is None else (entry / name).write_bytes(damage + content[: len(damage)])
            with pytest.raises(DamagedError, match=str(entry)):
                cache.load(entry, of[0], tmp_path / "three")
            (entry / name).write_bytes(content)
    assert not (tmp_path / "three").exists()
    (entry / "model.safetensors").write_bytes(b"altered")
    third = in_order(of, digits, tmp_path)
    assert [done.origin for done in third] == ["trained", "cached"]
    assert "is trained again because the run cache is damaged" in third[0].complaints[0]
    assert str(entry) in third[0].complaints[0]
    assert cache.load(entry, of[0], tmp_path / "four") is not None  # the entry is complete again


def test_pruning(tmp_path: Path) -> None:
    def fill() -> None:
        for days in range(4):
            folder = tmp_path / cache.RUNS / f"{days}"
            folder.mkdir(exist_ok=True, parents=True)
            (folder / "model.safetensors").write_bytes(bytes(1000))
            os.utime(folder, (time.time() - 86_400 * days - 60,) * 2)
        stopped = tmp_path / cache.CHECKPOINTS / "9"
        stopped.parent.mkdir(exist_ok=True)
        stopped.write_bytes(bytes(1000))
        os.utime(stopped, (time.time() - 86_400 * 9,) * 2)

    fill()
    assert {entry.size for entry in cache.entries(tmp_path)} == {1000}
    assert sorted(entry.path.name for entry in cache.prune(tmp_path, 1.5, None)) == ["2", "3", "9"]
    fill()
    assert sorted(entry.path.name for entry in cache.prune(tmp_path, None, 3500)) == ["3", "9"]
    assert [entry.path.name for entry in cache.prune(tmp_path, 100, None)] == []
    assert len(cache.prune(tmp_path, None, 0)) == 3
    assert list(cache.entries(tmp_path)) == []


def test_pruning_an_entry_removes_its_timing(digits: Path, tmp_path: Path) -> None:
    of = load(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__epochs": 1}).runs(1077)
    (done,) = swept(of, digits, tmp_path)
    entry = tmp_path / "cache" / cache.RUNS / done.record.fingerprint
    assert cache.timing(entry) == done.timing
    cache.prune(tmp_path / "cache", None, 0)
    assert cache.timing(entry) is None
