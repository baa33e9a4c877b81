"""Records are read back as they were written, and a damaged record is a one-line error."""

import json
from pathlib import Path

import pytest

from pipeline.errors import UserError
from pipeline.runs import records
from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record, Stable, Sweep
from tests.helpers.project import load

EPOCHS = [Epoch.of_network(1, 0.1, 0.5, 0.25, 0.75), Epoch.of_network(2, 1e-05, 1 / 3, float("nan"), None)]


def record(scheduler: str = "cosine") -> Record:
    (run,) = load(scheduler=scheduler, seeds=[3]).runs(1077)
    return Record(run, "diverged", EPOCHS, "cpu", "2.9", "f" * 64)


@pytest.mark.parametrize("scheduler", load().schedulers)
def test_a_record_is_read_back_as_written(scheduler: str, tmp_path: Path) -> None:
    written = record(scheduler)
    records.write(tmp_path / "run", written, b"weights")
    found = records.read(tmp_path / "run")
    assert found.run == written.run
    assert repr(found) == repr(written)  # compared by repr, because nan != nan
    assert found.last.diverged
    assert not found.epochs[0].diverged
    assert (tmp_path / "run" / records.WEIGHTS).read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("curve.csv", "epoch\nx\n"), ("curve.csv", ""), ("curve.csv", "epoch,lr,train_loss,val_loss,val_accuracy\n")),
        *(("run.json", "{"), ("run.json", "{}"), ("run.json", "[]")),
    ],
)
def test_a_damaged_record_is_one_line(name: str, content: str, tmp_path: Path) -> None:
    records.write(tmp_path / "run", record(), b"weights")
    (tmp_path / "run" / name).write_text(content)
    with pytest.raises(UserError, match="run: no readable record of a run") as raised:
        records.read(tmp_path / "run")
    assert "\n" not in str(raised.value)


def test_the_index_of_a_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sweep.json: no such file; run `uv run pipeline train` first"):
        records.read_sweep(tmp_path)
    records.write_sweep(tmp_path, Sweep("digits-mlp", ["cosine-s3"], "abc"))
    assert records.read_sweep(tmp_path) == Sweep("digits-mlp", ["cosine-s3"], "abc")
    stable = {"sgd": Stable(0.001, 0.3, [0.05, 0.1]), "adam": Stable(1e-5, None, [0.01])}
    records.write_sweep(tmp_path, Sweep("digits-mlp", ["cosine-s3"], "abc", stable))
    assert records.read_sweep(tmp_path) == Sweep("digits-mlp", ["cosine-s3"], "abc", stable)
    index = tmp_path / "sweep.json"
    damaged: list[dict[str, object]] = [
        {"runs": ["../elsewhere"]},
        {"runs": 3},
        {"runs": []},
        {"runs": ["cosine-s3"], "stable": 3},
        {"runs": ["cosine-s3"], "stable": {"sgd": {}}},
    ]
    for content in ([], *({"task": "digits-mlp", "fingerprint": "f"} | each for each in damaged)):
        index.write_text(json.dumps(content))
        with pytest.raises(UserError, match="not the index of a sweep"):
            records.read_sweep(tmp_path)


def test_clearing_removes_only_records(tmp_path: Path) -> None:
    records.write(tmp_path / "cosine-s3", record(), b"")
    records.write_sweep(tmp_path, Sweep("digits-mlp", ["cosine-s3"], "abc"))
    (tmp_path / "mine").mkdir()
    assert [found.run.name for found in records.finished(tmp_path)] == ["cosine-s3"]
    records.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
