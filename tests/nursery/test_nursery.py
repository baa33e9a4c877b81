"""The nursery's processes are real ones: with an exit code, signals and workers of their own."""

import signal
from pathlib import Path

import pytest

from tests.conftest import Start, edit
from tests.processes import assert_all_end, assert_nothing_is_left, processes_in


def test_an_exit_code_and_output_of_its_own(start: Start, project: Path) -> None:
    done = start("evaluate").wait()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: models/sweep.json: no such file")


def test_workers_end_with_their_trainer(start: Start, project: Path) -> None:
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 100_000})
    process = start("train", "--jobs", "2")
    process.wait_for_output("epochs in all")
    running = process.family()
    process.send_signal(signal.SIGKILL)
    assert process.wait().returncode == -9
    assert_all_end(running)
    assert not processes_in(project)


def test_what_a_test_leaves_behind_is_killed_and_fails_it(start: Start, project: Path) -> None:
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 100_000})
    process = start("train", "--jobs", "2")
    process.wait_for_output("epochs in all")
    assert len(process.family()) == 5  # with its fork server and its resource tracker
    with pytest.raises(AssertionError, match="left processes behind"):
        assert_nothing_is_left(project, seconds=0)
    assert process.wait().returncode == -9
    assert_nothing_is_left(project)
