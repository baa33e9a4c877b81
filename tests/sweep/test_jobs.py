import os
import signal
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file

from pipeline import records
from pipeline.errors import ExternalError, UserError
from pipeline.params import Run
from pipeline.records import Record
from pipeline.report import terminal as report
from pipeline.sweep.jobs import Train, Trained, stacked
from pipeline.sweep.pool import Workers
from tests.conftest import load


def runs(epochs: int = 2, **changes: Any) -> list[Run]:
    return load(**{"tasks__digits-mlp__epochs": epochs, **changes}).runs(examples=1077)


def sweep(jobs: int, of: list[Run], digits: Path, models: Path) -> list[Record]:
    with Workers(jobs, "cpu") as workers:
        steps = list(
            workers.work(Train(digits, models, models.parent / f"cache of {models.name}"), stacked(of, jobs, True))
        )
    assert steps[-1].epochs == sum(run.epochs for run in of)
    return [done.record for step in steps for done in step.result or ()]


def test_the_number_of_workers_changes_nothing(digits: Path, tmp_path: Path) -> None:
    """Two sweeps of every scheduler, in one process and in two: the same curves.csv and weights, byte for byte."""
    of = runs(scheduler="all", seeds=1)
    for jobs in (1, 2):
        models = tmp_path / str(jobs)
        found = sweep(jobs, of, digits, models)
        assert {record.run.name for record in found} == {run.name for run in of}
        report.write_curves(tmp_path / f"{jobs}.csv", [records.read(models / run.name) for run in of])
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 1 + 2 * len(of)
    for run in of:
        one, two = (load_file(tmp_path / jobs / run.name / records.WEIGHTS) for jobs in ("1", "2"))
        assert all((one[name] == two[name]).all() for name in one)


def test_a_run_that_diverges_is_recorded_and_the_rest_goes_on(digits: Path, tmp_path: Path) -> None:
    found = sweep(1, runs(scheduler="constant", lr=[1e12, 0.1], seeds=1, epochs=5), digits, tmp_path)
    assert [record.outcome for record in found] == ["diverged", "finished"]
    again = records.read(tmp_path / found[0].run.name)
    assert again.outcome == "diverged"
    assert again.last.diverged
    assert len(again.epochs) < 5


def test_a_record_is_read_back_as_it_was(digits: Path, tmp_path: Path) -> None:
    (record,) = sweep(1, runs(scheduler="chained", seeds=[3]), digits, tmp_path)
    assert records.read(tmp_path / record.run.name) == record
    assert sorted(file.name for file in (tmp_path / "chained-s3").iterdir()) == [
        "curve.csv",
        "model.safetensors",
        "run.json",
    ]
    (tmp_path / "chained-s3" / "curve.csv").write_text("epoch\nx\n")
    with pytest.raises(UserError, match="chained-s3: no readable record"):
        records.read(tmp_path / record.run.name)


def test_a_mistake_in_a_worker_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"), Workers(1, "cpu") as workers:
        list(workers.work(Train(tmp_path / "nowhere", tmp_path, tmp_path / "cache"), [runs(seeds=1)]))


def test_a_device_that_is_not_there_is_one_line(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--device warp: there is none here"), Workers(1, "warp") as workers:
        list(workers.work(Train(digits, tmp_path, tmp_path / "cache"), [runs(seeds=1)]))


def test_a_run_goes_on_after_its_worker_was_killed(digits: Path, tmp_path: Path) -> None:
    """From its checkpoint, to the same bits; the other worker knows nothing of it."""
    of = runs(scheduler=["cosine", "plateau", "wsd"], epochs=40, seeds=1)
    expected = {record.run.name: record for record in sweep(2, of, digits, tmp_path / "undisturbed")}
    found: list[Trained] = []
    killed = False
    with Workers(2, "cpu") as workers:
        for step in workers.work(
            Train(digits, tmp_path / "models", tmp_path / "cache", every=0.05), stacked(of, 2, False)
        ):
            if not killed and list((tmp_path / "cache").glob("checkpoints/*")):
                killed = True
                active_children()[0].kill()
            found += step.result or []
    assert killed
    assert {done.origin for done in found} == {"trained", "resumed"}
    assert step.epochs == 3 * 40
    for done in found:
        name = done.record.run.name
        assert done.record.epochs == expected[name].epochs
        weights = [tmp_path / models / name / records.WEIGHTS for models in ("undisturbed", "models")]
        assert len({file.read_bytes() for file in weights}) == 1
    assert not list((tmp_path / "cache" / "checkpoints").iterdir())


def deadly(number: int) -> int:
    """The square of a number; 3 kills whoever computes it."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_kills_its_worker_twice_fails_and_the_rest_goes_on(jobs: int) -> None:
    failed: dict[int, str] = {}
    with Workers(jobs, "cpu") as workers:
        numbers = range(8)
        steps = [*workers.work(deadly, numbers, lambda number, reason: failed.update({number: reason}))]
        assert sorted(step.result for step in steps if step.result is not None) == [0, 1, 4, 16, 25, 36, 49]
        assert failed == {3: "a worker process was ended from outside"}
        with pytest.raises(ExternalError, match="ended from outside; too little memory"):
            list(workers.work(deadly, [3]))
    assert not active_children()


def test_a_worker_that_is_killed_while_it_waits_is_no_loss() -> None:
    with Workers(2, "cpu") as workers:
        list(workers.work(deadly, [1, 2]))
        for child in active_children():
            child.kill()
            child.join(10)
        assert sorted(step.result for step in workers.work(deadly, [1, 2, 4]) if step.result is not None) == [1, 4, 16]


def test_too_little_memory_fails_the_run_and_no_other(digits: Path, tmp_path: Path) -> None:
    """Four terabytes of weights."""
    large = {"name": "mlp", "hidden": [1_000_000, 1_000_000]}
    of = runs(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__model": large}) + runs(scheduler="rex", seeds=1)
    failed: dict[str, str] = {}
    with Workers(1, "cpu") as workers:
        train = Train(digits, tmp_path, tmp_path / "cache")
        pieces = stacked(of, 1, False)
        steps = list(workers.work(train, pieces, lambda runs, reason: failed.update({runs[0].name: reason})))
    assert [done.record.run.name for step in steps for done in step.result or ()] == ["rex-s0"]
    ((name, reason),) = failed.items()
    assert name == "cosine-s0"
    assert "out of memory" in reason


def test_workers_end_when_the_caller_gives_up(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Workers(2, "cpu") as workers:
        pieces = stacked(runs(scheduler="cosine", epochs=10_000), 2, True)
        for step in workers.work(Train(digits, tmp_path, tmp_path / "cache"), pieces):
            if step.epochs > 0:
                raise KeyboardInterrupt
    assert not active_children()


def imported(_: int) -> list[str]:
    import sys

    return [name for name in ("mlflow", "pandas", "matplotlib", "torchvision", "dvc") if name in sys.modules]


def test_workers_import_no_more_than_they_need() -> None:
    with Workers(1, "cpu") as workers:
        assert [step.result for step in workers.work(imported, [0])] == [[]]


def threads(train: Train, run: Run) -> int:
    import torch

    train([run])
    return torch.get_num_threads()


@pytest.mark.parametrize(("hidden", "expected"), [([64, 32], 1), ([512, 256], 3)])
def test_cores_that_have_no_run_of_their_own_help_with_another(
    hidden: list[int], expected: int, digits: Path, tmp_path: Path
) -> None:
    (run,) = runs(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__model__hidden": hidden}, epochs=1)
    train = Train(digits, tmp_path / "models", tmp_path / "cache", threads=3)
    with Workers(1, "cpu") as workers:
        assert [step.result for step in workers.work(partial(threads, train), [run])] == [expected]
