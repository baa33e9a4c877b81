import ast
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import records
from pipeline.data import Summary
from pipeline.params import Run
from pipeline.sweep import cache
from pipeline.sweep.jobs import Train, Trained
from pipeline.sweep.pool import Workers
from tests.conftest import load


def one(**changes: Any) -> Run:
    return load(**{"scheduler": "cosine", "seeds": 1, "tasks__digits-mlp__epochs": 2, **changes}).runs(1077)[0]


def mark(run: Run, summary: Summary, device: str = "cpu", torch: str = "2.9") -> str:
    return cache.fingerprint(run, summary, device, torch)


@pytest.mark.parametrize(
    "changes",
    [
        {"seeds": [1]},
        {"lr": 0.2},
        {"optimizer": "adam"},
        {"optimizers__sgd__momentum": 0.8},
        {"schedulers__cosine__eta_min": 1e-5},
        {"scheduler": "step"},
        {"tasks__digits-mlp__epochs": 3},
        {"tasks__digits-mlp__batch_size": 16},
        {"tasks__digits-mlp__model": {"name": "mlp", "hidden": [64, 33]}},
        {"tasks__digits-mlp__loss": "nll", "tasks__digits-mlp__model": {"name": "cnn"}},
        {"tasks__digits-mlp__train_subset": 1000},
        {"tasks__digits-mlp__record_every": 2},
        {"tasks__digits-mlp__normalize": {"mean": [0.5], "std": [0.5]}},
    ],
)
def test_a_setting_that_can_change_the_result_changes_the_fingerprint(
    changes: dict[str, Any], summary: Summary
) -> None:
    assert mark(one(**changes), summary) != mark(one(), summary)


def test_data_device_and_torch_change_the_fingerprint(summary: Summary) -> None:
    marks = {mark(one(), summary), mark(one(), summary, "cuda"), mark(one(), summary, torch="2.10")}
    for part in ("train", "val"):
        marks.add(mark(one(), replace(summary, digests=summary.digests | {part: "0"})))
    assert len(marks) == 5


def test_names_and_the_test_part_do_not(summary: Summary) -> None:
    other = replace(summary, digests=summary.digests | {"test": "0"}, source="elsewhere")
    renamed = one().model_copy(update={"name": "x-s0", "group": "x", "task": "y", "scheduler": "z", "optimizer": "o"})
    assert mark(renamed, other) == mark(one(), summary)
    assert len(mark(one(), summary)) == 64


def test_comments_do_not_change_the_codes_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def digest(of_training: str) -> str:
        for name in cache.TRAINS:
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(of_training if name == "training.py" else "x = 1\n")
        cache.code.cache_clear()
        return cache.code("mlp")

    monkeypatch.setattr(cache, "__file__", str(tmp_path / "cache.py"))
    plain = digest("def f(x):\n    return x + 1\n")
    assert digest('"""Of one run."""\n\ndef f(x):\n    """Why."""\n    return (x + 1)  # because\n') == plain
    assert digest("def f(x):\n    return x + 2\n") != plain
    cache.code.cache_clear()


def test_the_code_that_trains_is_all_of_it() -> None:
    """Whatever a module that trains imports of ours trains too, or only makes settings or reports."""
    ground = {"errors", "files", "own", "params", "settings", "data", "analysis"}
    here = Path(cache.__file__).parent
    known = {name.removesuffix(".py").replace("/", ".") for name in cache.TRAINS}
    for name in cache.TRAINS:
        for node in ast.walk(ast.parse((here / name).read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pipeline"):
                inside = node.module.removeprefix("pipeline").removeprefix(".")
                modules = [inside] if inside else [alias.name for alias in node.names]
                for module in modules:
                    assert module in known or module.split(".")[0] in ground, (name, module)


def test_ones_own_code_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*os.sys.path])  # type: ignore[attr-defined]
    digests = []
    for text in ("def build(s, n): return 1", "def build(s, n): return 2  # two", "def build(s, n): return 2"):
        (tmp_path / "mine.py").write_text(text)
        cache.code.cache_clear()
        digests.append(cache.code("mine:build"))
    assert digests[0] != digests[1] == digests[2]


def sweep(of: list[Run], digits: Path, models: Path, cached: Path) -> list[Trained]:
    with Workers(1, "cpu") as workers:
        found = [done for step in workers.work(Train(digits, models, cached), [of]) for done in step.result or ()]
    return sorted(found, key=lambda done: done.record.run.name)


def test_a_run_is_trained_once_and_a_damaged_entry_again(digits: Path, tmp_path: Path) -> None:
    of = load(scheduler=["cosine", "rex"], seeds=1, **{"tasks__digits-mlp__epochs": 2}).runs(1077)
    first = sweep(of, digits, tmp_path / "one", tmp_path / "cache")
    renamed = [run.model_copy(update={"name": f"again-{run.name}"}) for run in of]
    second = sweep(renamed, digits, tmp_path / "two", tmp_path / "cache")
    assert [done.origin for done in (*first, *second)] == ["trained", "trained", "cached", "cached"]
    for before, after in zip(first, second, strict=True):
        assert after.record == replace(before.record, run=after.record.run)
        assert records.read(tmp_path / "two" / after.record.run.name) == after.record
        weights = [tmp_path / "one" / before.record.run.name, tmp_path / "two" / after.record.run.name]
        assert len({(folder / records.WEIGHTS).read_bytes() for folder in weights}) == 1

    entry = tmp_path / "cache" / cache.RUNS / first[0].record.fingerprint
    for name in ("model.safetensors", "curve.csv", "run.json", cache.SUMS):
        for damage in (b"", b"x", None):
            content = (entry / name).read_bytes()
            (entry / name).unlink() if damage is None else (entry / name).write_bytes(damage + content[: len(damage)])
            with pytest.raises(cache.DamagedError, match=str(entry)):
                cache.take(entry, of[0], tmp_path / "three")
            (entry / name).write_bytes(content)
    assert not (tmp_path / "three").exists()
    (entry / "model.safetensors").write_bytes(b"altered")
    third = sweep(of, digits, tmp_path / "three", tmp_path / "cache")
    assert [done.origin for done in third] == ["trained", "cached"]
    assert "is trained again, as the run cache is damaged" in third[0].complaints[0]
    assert str(entry) in third[0].complaints[0]
    assert cache.take(entry, of[0], tmp_path / "four") is not None  # it is whole again


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
