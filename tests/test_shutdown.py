"""Whoever ends a sweep, nothing of it goes on, and what is finished is kept."""

import signal
from pathlib import Path

import pytest

from pipeline.sweep import cache
from pipeline.training.together import WIDTH
from tests.helpers.commands import Start
from tests.helpers.processes import assert_all_end, wait_for
from tests.helpers.project import checkpoints, edit, statuses, trained

STACK = WIDTH["dense"]
RUNS = 100


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_goes_on_and_what_is_finished_is_kept(start: Start, project: Path, end: signal.Signals) -> None:
    """It is ended in the middle of the stacks that come after the first."""
    edit(project, scheduler="constant", seeds=RUNS, **{"tasks__digits-mlp__epochs": 8})
    process = start("train", "--jobs", "2")
    process.wait_for_output(f"[ {2 * STACK}/{RUNS}]")
    running = process.family()
    assert len(running) == 5  # the trainer, its workers, what starts them, and its resource tracker
    process.send_signal(end)
    assert process.wait().returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[end]
    assert_all_end(running)
    finished = trained(project)
    assert 2 * STACK <= len(finished) < RUNS
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
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 5_000})
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
