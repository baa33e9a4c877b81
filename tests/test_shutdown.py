"""If a signal ends a sweep, or if its parent ends, all its processes end, and finished runs are kept."""

import signal
import sys
from pathlib import Path

import pytest

from pipeline.sweep import cache
from pipeline.training.stacking import WIDTH
from tests.helpers.commands import Start
from tests.helpers.processes import assert_all_end, process_group, processes_in, wait_for
from tests.helpers.project import ROOT, checkpoints, edit, statuses, trained

STACK = WIDTH["dense"]
RUNS = 100
PROGRAM = """
import time
from pathlib import Path
from pipeline.shutdown import install_handlers
install_handlers()
Path("installed").touch()
try:
    time.sleep(1000)
finally:
    Path("unwound").touch()
"""
DVC = """
import os, subprocess, sys
subprocess.run(["/bin/sh", "-c", sys.argv[1]], env=os.environ | {"DVC_STAGE": "train"})
"""


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_processes_and_keeps_finished_runs(start: Start, project: Path, end: signal.Signals) -> None:
    """The signal comes when the first stacks have ended, while later stacks are being trained."""
    edit(project, scheduler="constant", seeds=RUNS, **{"tasks__digits-mlp__epochs": 8})
    process = start("train", "--jobs", "2")
    process.wait_for_output(f"[ {2 * STACK}/{RUNS}]")
    running = process.family()
    assert len(running) == 5  # the parent, two workers, their fork server and a resource tracker
    process.send_signal(end)
    assert process.wait().returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[end]
    assert_all_end(running)
    finished = trained(project)
    assert 2 * STACK <= len(finished) < RUNS
    assert not (project / "models" / "sweep.json").exists()
    assert len(list((project / ".cache" / cache.RUNS).glob("[!.]*"))) >= len(finished)
    assert not [*project.rglob(".constant-*")]  # there are no half-written files
    assert statuses(project) == {name: ["FINISHED"] for name in finished}  # there are no other runs

    edit(project, seeds=6)
    done = start("train", "--jobs", "2").wait()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "took 6 from the cache" in done.stdout
    assert {*map(tuple, statuses(project).values())} == {("FINISHED",)}


def test_a_sweep_ends_with_its_parent(start: Start, project: Path) -> None:
    """The parent, which is a stand-in for DVC, gets SIGKILL. A test in `tests/dvc/test_bits.py` kills DVC itself."""
    edit(project, scheduler="constant", seeds=2, **{"tasks__digits-mlp__epochs": 5_000})
    options = ("--jobs", "2", "--checkpoint-every", "0.1")
    dvc = start("train", *options, under_parent=True, DVC_STAGE="train")
    wait_for(lambda: checkpoints(project))
    running = dvc.family()
    assert len(running) == 6  # the stand-in for DVC and the five processes of the sweep
    dvc.send_signal(signal.SIGKILL)
    assert_all_end(running)
    assert checkpoints(project)
    assert not trained(project)  # the sweep did not end by itself


@pytest.mark.parametrize("command", ["exec $PROGRAM", "$PROGRAM; exit"])
def test_a_command_ends_with_dvc_even_if_a_shell_stands_between_them(tmp_path: Path, command: str) -> None:
    """A shell either replaces itself with the command or waits for it; DVC's stand-in gets SIGKILL."""
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "dvc.py").write_text(DVC)
    run = command.replace("$PROGRAM", f"{sys.executable} program.py")
    with process_group([sys.executable, "dvc.py", run], tmp_path, PYTHONPATH=str(ROOT)) as dvc:
        wait_for((tmp_path / "installed").exists)
        running = processes_in(tmp_path)
        assert len(running) == (2 if "exec" in command else 3)
        dvc.kill()
        assert_all_end(running)
    assert (tmp_path / "unwound").exists()


@pytest.mark.slow
def test_a_second_sweep_in_the_same_folder_waits(start: Start, project: Path) -> None:
    edit(project, scheduler="constant", seeds=40, **{"tasks__digits-mlp__epochs": 2})
    first = start("train", "--jobs", "2")
    first.wait_for_output("epochs in all")
    first.send_signal(signal.SIGSTOP)  # otherwise, the first could end before the second starts
    second = start("train", "--jobs", "2")
    second.wait_for_output("another sweep is training in this folder; this sweep waits")
    first.send_signal(signal.SIGCONT)
    outs = [process.wait() for process in (first, second)]
    assert [done.returncode for done in outs] == [0, 0], outs
    assert "waits" not in outs[0].stdout
    assert "trained 0 runs and took 40 from the cache" in outs[1].stdout
    assert len(trained(project)) == 40
