"""Whoever ends a sweep, nothing of it goes on, and what is finished is kept."""

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from pipeline.sweep import cache
from pipeline.sweep.jobs import LARGEST_STACK
from tests.conftest import SCHEDULERS, Start, edit, tracked
from tests.processes import assert_all_end, wait_for


def trained(project: Path) -> list[str]:
    return sorted(file.parent.name for file in (project / "models").glob("[!.]*/run.json"))


def statuses(project: Path) -> dict[str, list[str]]:
    """Return the status of each MLflow run, by the name of the run."""
    found: dict[str, list[str]] = {}
    for run in tracked(f"sqlite:///{project}/mlflow.db"):
        found.setdefault(run.info.run_name, []).append(run.info.status)
    return found


def checkpoints(project: Path) -> list[Path]:
    return list((project / ".cache" / cache.CHECKPOINTS).glob("[!.]*"))


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_goes_on_and_what_is_finished_is_kept(start: Start, project: Path, end: signal.Signals) -> None:
    """It is ended in the middle of the stacks that come after the first."""
    edit(project, scheduler="constant", seeds=600, **{"tasks__digits-mlp__epochs": 20})
    process = start("train", "--jobs", "2")
    process.wait_for_output(f"[ {2 * LARGEST_STACK}/600]")
    running = process.family()
    assert len(running) == 5  # the trainer, its workers, what starts them, and its resource tracker
    process.send_signal(end)
    assert process.wait().returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[end]
    assert_all_end(running)
    finished = trained(project)
    assert 2 * LARGEST_STACK <= len(finished) < 600
    assert not (project / "models" / "sweep.json").exists()
    assert len(list((project / ".cache" / cache.RUNS).glob("[!.]*"))) >= len(finished)
    if end != signal.SIGKILL:
        assert not [*project.rglob(".constant-*")]  # nothing half-written
        assert statuses(project) == {name: ["FINISHED"] for name in finished}  # and none that is not

    edit(project, seeds=6)
    done = start("train", "--jobs", "2").wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "took 6 from the cache" in done.stdout
    found = statuses(project)
    assert all(found[name] == ["FINISHED"] for name in trained(project))
    assert all(status in (["FINISHED"], ["KILLED"]) for status in found.values())


def test_a_sweep_ends_with_dvc(start: Start, project: Path) -> None:
    """Whatever started it under DVC is killed without a word."""
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 50_000})
    options = ("--jobs", "2", "--checkpoint-every", "0.1")
    dvc = start("train", *options, under_parent=True, DVC_ROOT=str(project))
    wait_for(lambda: checkpoints(project))
    running = dvc.family()
    assert len(running) == 6  # the stand-in for DVC, and what belongs to the trainer
    dvc.send_signal(signal.SIGKILL)
    assert_all_end(running)
    assert checkpoints(project)
    assert not trained(project)  # it did not end because it was done


def test_a_second_sweep_in_the_same_folder_waits(start: Start, project: Path) -> None:
    edit(project, scheduler="constant", seeds=40, **{"tasks__digits-mlp__epochs": 2})
    first = start("train", "--jobs", "2")
    first.wait_for_output("epochs in all")
    first.send_signal(signal.SIGSTOP)  # or it might be done before the second has begun
    second = start("train", "--jobs", "2")
    second.wait_for_output("another sweep trains in this folder; this one waits")
    first.send_signal(signal.SIGCONT)
    outs = [process.wait() for process in (first, second)]
    assert [done.returncode for done in outs] == [0, 0], outs
    assert "waits" not in outs[0].stdout
    assert "trained 0 runs and took 40 from the cache" in outs[1].stdout
    assert len(trained(project)) == 40


@pytest.mark.parametrize(
    ("kills", "epochs", "schedulers"),
    [
        (5, 100, ["plateau", "onecycle"]),
        pytest.param(20, 400, SCHEDULERS[::4], marks=pytest.mark.slow),
    ],
)
def test_killed_at_random_moments_a_sweep_ends_as_if_nothing_had_been(
    start: Start, project: Path, kills: int, epochs: int, schedulers: list[str]
) -> None:
    """The moments are random: while workers start, train, save or tell, and while MLflow is told.

    Every second one comes after a checkpoint, or on a busy machine all would come before the first.
    """
    edit(project, scheduler=schedulers, seeds=1, **{"tasks__digits-mlp__epochs": epochs})
    undisturbed = project / "undisturbed"
    shutil.copytree(project, undisturbed, ignore=shutil.ignore_patterns("undisturbed"))
    assert start("train", folder=undisturbed).wait().returncode == 0

    moments = random.Random(4)
    resumed = 0
    for kill in range(kills):
        process = start("train", "--jobs", "2", "--checkpoint-every", "0.1")
        process.wait_for_output("epochs in all")
        if kill % 2:
            wait_for(lambda: checkpoints(project) or process.ended)  # noqa: B023
        time.sleep(moments.uniform(0, 0.6))
        running = process.family()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert_all_end(running)
        resumed += bool(checkpoints(project))
    assert resumed >= kills // 2  # or the moments are none in the middle of a run
    done = start("train").wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "from a checkpoint on" in done.stdout

    assert contents(project / "models") == contents(undisturbed / "models")
    assert statuses(project) == {f"{name}-s0": ["FINISHED"] for name in schedulers}
    for folder in ("models", ".cache/runs", ".cache/checkpoints"):
        assert not list((project / folder).glob(".*"))  # nothing half-written is left
    assert not checkpoints(project)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below ``folder``: curves, weights and settings of each run."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}
