"""A worker's jobs: each run gets a record, whose bits do not depend on the number of workers."""

import json
import threading
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from pipeline.errors import UserError
from pipeline.report.result_files import write_curves
from pipeline.runs import records
from pipeline.runs.params import Run
from pipeline.sweep import worker
from pipeline.sweep.checkpoint import Checkpoint
from pipeline.sweep.execution import check, evaluate
from pipeline.sweep.jobs import CheckJob, TrainJob, partition
from pipeline.sweep.pool import Workers
from pipeline.training import determinism, stacking
from pipeline.training.accumulation import WHOLE_STEP, MicroBatch
from pipeline.training.stacks import Stack
from tests.helpers.processes import wait_for
from tests.helpers.project import load
from tests.sweep.sweeping import results, runs, swept, trained

MODEL, EPOCHS = "tasks__digits-mlp__model", "tasks__digits-mlp__epochs"


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(digits: Path, tmp_path: Path) -> None:
    """With one process or two, curves.csv and the weights of every scheduler are the same, byte for byte."""
    of = runs(scheduler="all", seeds=1)
    for jobs in (1, 2):
        found = swept(of, digits, tmp_path / str(jobs), jobs)
        assert {done.record.run.name for done in found} == {run.name for run in of}
        written = [records.read(tmp_path / str(jobs) / "models" / run.name) for run in of]
        write_curves(tmp_path / f"{jobs}.csv", written)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()
    assert len((tmp_path / "1.csv").read_text().splitlines()) == 1 + len(of) * 2
    for run in of:
        one, two = (load_file(tmp_path / jobs / "models" / run.name / records.WEIGHTS) for jobs in ("1", "2"))
        assert all((one[name] == two[name]).all() for name in one)


def test_a_diverged_run_is_recorded_and_other_runs_continue(digits: Path, tmp_path: Path) -> None:
    found = swept(runs(scheduler="constant", lr=[1e12, 0.1], seeds=1, epochs=5), digits, tmp_path)
    assert sorted(done.record.outcome for done in found) == ["diverged", "finished"]
    (diverged,) = (done.record for done in found if done.record.outcome == "diverged")
    again = records.read(tmp_path / "models" / diverged.run.name)
    assert again.outcome == "diverged"
    assert again.last.diverged
    assert len(again.epochs) < 5


def test_a_weight_may_have_two_names(digits: Path, tmp_path: Path) -> None:
    model = {"name": "tests.training.fitting:tied"}
    (done,) = swept(load(scheduler="cosine", seeds=1, **{MODEL: model, EPOCHS: 1}).runs(1077), digits, tmp_path)
    weights = load_file(tmp_path / "models" / done.record.run.name / records.WEIGHTS)
    assert (weights["1.weight"] == weights["3.weight"]).all()
    assert weights["1.weight"].any()


def test_a_record_depends_only_on_its_run(digits: Path, tmp_path: Path) -> None:
    """If a run is trained twice, its files are the same byte for byte, because DVC's outputs contain no times."""
    of = runs(scheduler="chained", seeds=[3])
    (first,), (second,) = (swept(of, digits, tmp_path / name) for name in ("one", "two"))
    folders = [tmp_path / name / "models" / "chained-s3" for name in ("one", "two")]
    names = ["curve.csv", "model.safetensors", "run.json"]
    for folder in folders:
        assert sorted(file.name for file in folder.iterdir()) == names
    for name in names:
        assert len({(folder / name).read_bytes() for folder in folders}) == 1
    assert records.read(folders[0]) == first.record
    assert first.timing.started < second.timing.started
    assert json.loads((folders[0] / "run.json").read_text())["device"] == "cpu"


def test_an_evaluation_has_the_figures_of_the_test_split(digits: Path, tmp_path: Path) -> None:
    (done,) = swept(runs(scheduler="cosine", seeds=1), digits, tmp_path)
    with Workers(1, "cpu") as workers:
        (found,) = evaluate(workers, digits, tmp_path / "models", [done.record]).values()
        with pytest.raises(UserError, match=f"{tmp_path}/nowhere/cosine-s0/.*: not the weights of this run"):
            evaluate(workers, digits, tmp_path / "nowhere", [done.record])
    assert 0 < found.figures["test_loss"] < 3
    assert "test_accuracy" in found.figures
    assert [layer.name for layer in found.layers][:2] == ["layers.1.weight", "layers.1.bias"]


def test_a_check_returns_stack_sizes(digits: Path) -> None:
    large = {"name": "mlp", "hidden": [512, 256]}
    of = runs(seeds=1, scheduler="constant") + runs(
        seeds=1, scheduler="constant", **{"tasks__digits-mlp__model": large}
    )
    with Workers(1, "cpu") as workers:
        found = results(workers.work(CheckJob(digits), of))
    assert sorted(each.stack_size for each in found) == [1, 16]
    assert [each.notes for each in found] == [[], []]


def test_a_mistake_in_a_worker_reaches_the_caller(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"), Workers(1, "cpu") as workers:
        check(workers, tmp_path / "nowhere", runs(seeds=1))


@pytest.mark.slow
def test_a_run_resumes_after_its_worker_was_killed(digits: Path, tmp_path: Path) -> None:
    """The run resumes from its checkpoint, and ends with the same bits as an undisturbed run."""
    of = runs(scheduler=["cosine", "plateau", "wsd"], epochs=20, seeds=1)
    expected = {done.record.run.name: done.record for done in swept(of, digits, tmp_path / "undisturbed", 2)}
    killed = threading.Event()

    def kill() -> None:
        wait_for(lambda: len([*(tmp_path / "cache").glob("checkpoints/[!.]*")]) == 2, every=0.01)
        active_children()[0].kill()
        killed.set()

    with Workers(2, "cpu") as workers:
        workers.handshake()
        killer = threading.Thread(target=kill)
        killer.start()
        found = list(trained(workers, of, digits, tmp_path, checkpoint_every=0.05, stack_size=1))
        killer.join()
    assert killed.is_set()
    assert {done.origin for done in found} == {"trained", "resumed"}
    for done in found:
        name = done.record.run.name
        assert done.record.epochs == expected[name].epochs
        folders = [tmp_path / "undisturbed" / "models", tmp_path / "models"]
        assert len({(folder / name / records.WEIGHTS).read_bytes() for folder in folders}) == 1
    assert not list((tmp_path / "cache" / "checkpoints").iterdir())


@pytest.mark.slow
def test_too_little_memory_fails_only_one_run(digits: Path, tmp_path: Path) -> None:
    """The network would have four terabytes of weights."""
    large = {"name": "mlp", "hidden": [1_000_000, 1_000_000]}
    of = runs(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__model": large}) + runs(scheduler="rex", seeds=1)
    failed: dict[str, str] = {}
    with Workers(1, "cpu") as workers:
        done = list(trained(workers, of, digits, tmp_path, stack_size=1, failed=failed))
    assert [each.record.run.name for each in done] == ["rex-s0"]
    ((name, reason),) = failed.items()
    assert name == "cosine-s0"
    assert "out of memory" in reason


@pytest.mark.slow
def test_workers_end_when_the_caller_gives_up(digits: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Workers(2, "cpu") as workers:
        job = TrainJob(digits, tmp_path / "checkpoints")
        pieces = partition(runs(scheduler="cosine", epochs=10_000), 2, stack_size=16)
        for update in workers.work(job, pieces, sent=lambda piece: [(run, run.name) for run in piece]):
            if any(report.done > 0 for report in update.reports):
                raise KeyboardInterrupt
    assert not active_children()


def threads(job: TrainJob, run: Run) -> int:
    import torch

    job([(run, run.name)])
    return torch.get_num_threads()


@pytest.mark.slow
@pytest.mark.parametrize(("hidden", "expected"), [([64, 32], 1), ([512, 256], 3 if determinism.is_intel() else 1)])
def test_spare_cores_become_threads_of_a_run(hidden: list[int], expected: int, digits: Path, tmp_path: Path) -> None:
    (run,) = runs(scheduler="cosine", seeds=1, **{"tasks__digits-mlp__model__hidden": hidden}, epochs=1)
    job = TrainJob(digits, tmp_path / "checkpoints", threads=3)
    with Workers(1, "cpu") as workers:
        assert results(workers.work(partial(threads, job), [run])) == [expected]


@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 22, 110, 440])
@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_a_sweep_is_divided_evenly_among_workers(count: int, jobs: int) -> None:
    of = load(scheduler="constant", seeds=count).runs(200)
    jobs = min(jobs, count)
    pieces = partition(of, jobs, stack_size=16)
    assert [run for piece in pieces for run in piece] == of
    sizes = {len(piece) for piece in pieces}
    assert max(sizes) <= 16
    assert max(sizes) - min(sizes) <= 1
    assert len(pieces) % jobs == 0
    assert len(pieces) - jobs < count / 16  # there are no more pieces than needed
    assert partition(of, jobs, stack_size=1) == [[run] for run in of]


class NoCoordinator:
    """A coordinator for jobs that run in this process."""

    def report(self, runs: object) -> None:
        """Ignore the report."""

    def checkpoint(self, path: Path) -> Checkpoint:
        return Checkpoint(path)


@pytest.mark.slow
def test_a_stack_is_halved_until_it_fits_into_memory(
    digits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Later stacks begin at the width that fitted. On a CPU, stacks of any width give the same bits."""
    of = [(run, run.name) for run in runs(scheduler=["cosine", "step"], seeds=5)]
    worker.begin("cpu", 0, NoCoordinator())
    expected = {each.record.run.name: each.weights for each in TrainJob(digits, tmp_path)(of)}
    widths: list[int] = []

    def backward(self: Stack, x: torch.Tensor, y: torch.Tensor, part: MicroBatch = WHOLE_STEP) -> torch.Tensor:
        widths.append(len(self.networks))
        if len(self.networks) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, x, y, part)

    whole = Stack.backward
    monkeypatch.setattr(Stack, "backward", backward)
    monkeypatch.setattr(stacking, "_plans", {})
    job = TrainJob(digits, tmp_path)
    for _ in range(2):
        found = job(of)
        assert {each.record.run.name: each.weights for each in found} == expected
        assert len(found) == 10
    trial, *trained = widths  # the trial shows whether two networks can be a stack
    assert trial == 2
    assert list(dict.fromkeys(trained)) == [10, 8, 4, 2]
    assert trained.count(4) == 1
