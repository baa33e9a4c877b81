"""Processes of the fork server have their own exit code, signals and workers, like any other process."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.helpers.commands import Start
from tests.helpers.fork_server import path
from tests.helpers.processes import assert_all_end, assert_nothing_is_left, processes_in, wait_for
from tests.helpers.project import checkpoints, edit


def test_a_process_has_its_own_exit_code_and_output(start: Start, project: Path) -> None:
    done = start("evaluate").wait()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: models/sweep.json: no such file")


def test_a_process_left_behind_is_killed_and_fails_the_test(start: Start, project: Path) -> None:
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 5_000})
    process = start("train", "--jobs", "2")
    process.wait_for_output("epochs in all")
    assert len(process.family()) == 5  # the command, two workers, a fork server and a resource tracker
    with pytest.raises(AssertionError, match="left processes behind"):
        assert_nothing_is_left(project, seconds=0)
    assert process.wait().returncode == -9
    assert_nothing_is_left(project)


def stand_in(project: Path, *arguments: str) -> subprocess.Popen[str]:
    """Run a command as DVC does, with a PATH in which the stand-in for Python comes first."""
    return subprocess.Popen(
        ["python", "-m", "pipeline", *arguments],
        cwd=project,
        env={**os.environ, "PATH": path()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_stand_in_has_the_exit_code_and_output_of_its_command(project: Path) -> None:
    process = stand_in(project, "evaluate")
    out, err = process.communicate()
    assert (process.returncode, out) == (2, "")
    assert err.startswith("error: models/sweep.json: no such file")


@pytest.mark.parametrize("end", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_a_command_ends_with_its_stand_in(project: Path, end: signal.Signals) -> None:
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 5_000})
    process = stand_in(project, "train", "--jobs", "2", "--checkpoint-every", "0.1")
    wait_for(lambda: checkpoints(project) or process.poll() is not None)
    running = processes_in(project)
    assert len(running) == 6
    process.send_signal(end)
    process.communicate()
    assert process.returncode == {signal.SIGTERM: 143, signal.SIGKILL: -9}[end]
    assert_all_end(running)
