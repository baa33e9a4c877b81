"""Whoever ends a sweep, nothing of it goes on, and what is finished is kept."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pipeline import records
from pipeline.sweep import cache
from pipeline.sweep.jobs import LARGEST
from tests.conftest import ROOT, SCHEDULERS, assert_ended, edit, tracked, wait_for

PIPELINE = [sys.executable, "-m", "pipeline"]
TRAIN = [*PIPELINE, "train", "--jobs", "2"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning"
)


def sweep(project: Path, *command: str, **environment: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.Popen(
        command or TRAIN, cwd=project, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def trained(project: Path) -> list[str]:
    return sorted(file.parent.name for file in (project / "models").glob("[!.]*/run.json"))


def statuses(project: Path) -> dict[str, list[str]]:
    """Of every name of a run, the status of each run that MLflow has of it."""
    found: dict[str, list[str]] = {}
    for run in tracked(f"sqlite:///{project}/mlflow.db"):
        found.setdefault(run.info.run_name, []).append(run.info.status)
    return found


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    parent = psutil.Process(process.pid)
    return [parent, *parent.children(recursive=True)]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_goes_on_and_what_is_finished_is_kept(project: Path, end: signal.Signals) -> None:
    """As many runs as it takes: it is ended in the middle of the stacks that come after the first."""
    edit(project, scheduler="constant", seeds=10_000, **{"tasks__digits-mlp__epochs": 60})
    process = sweep(project)
    assert process.stdout is not None
    lines = iter(process.stdout)
    while not next(lines).startswith(f"[{2 * LARGEST:>5}/"):
        pass
    running = family(process)
    assert len(running) >= 3
    process.send_signal(end)
    started = time.monotonic()
    process.communicate(timeout=30)
    assert time.monotonic() - started < 10  # on an idle machine it is one; beside this, other tests keep all cores busy
    assert_ended(running[1:])
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[end]
    finished = trained(project)
    assert len(finished) >= 2 * LARGEST
    assert not (project / "models" / "sweep.json").exists()
    assert len(list((project / ".cache" / cache.RUNS).glob("[!.]*"))) >= len(finished)
    if end != signal.SIGKILL:
        assert not [*project.rglob(".constant-*")]  # nothing half-written
        assert statuses(project) == {name: ["FINISHED"] for name in finished}  # and none that is not

    edit(project, seeds=6)
    again = sweep(project)
    out, _ = again.communicate(timeout=120)
    assert again.returncode == 0, out
    assert "took 6 from the cache" in out
    found = statuses(project)
    assert all(found[name] == ["FINISHED"] for name in trained(project))
    assert all(status in (["FINISHED"], ["KILLED"]) for status in found.values())


def test_a_sweep_ends_with_dvc(project: Path) -> None:
    """Whatever started it under DVC is killed without a word."""
    edit(project, scheduler="constant", seeds=10_000, **{"tasks__digits-mlp__epochs": 1})
    script = f"import subprocess; subprocess.run({TRAIN!r})"
    dvc = sweep(project, sys.executable, "-c", script, DVC_ROOT=str(project))
    wait_for(lambda: len(trained(project)) >= 2, 60)
    running = family(dvc)
    assert len(running) >= 4
    dvc.kill()
    assert_ended(running)
    dvc.communicate()


def test_a_second_sweep_in_the_same_folder_waits(project: Path) -> None:
    edit(project, scheduler="constant", seeds=200, **{"tasks__digits-mlp__epochs": 1})
    first = sweep(project)
    wait_for(lambda: len(trained(project)) >= 1, 60)
    second = sweep(project)
    outs = [process.communicate(timeout=240)[0] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], outs
    assert "another sweep trains in this folder; this one waits" in outs[1]
    assert "waits" not in outs[0]
    assert "trained 0 runs and took 200 from the cache" in outs[1]
    assert len(trained(project)) == 200


@pytest.mark.slow
def test_killed_at_twenty_moments_a_sweep_ends_as_if_nothing_had_been(project: Path) -> None:
    """The moments are random: while workers start, train, save or tell, and while MLflow is told."""
    edit(project, scheduler="all", seeds=1, **{"tasks__digits-mlp__epochs": 400})
    undisturbed = project / "undisturbed"
    shutil.copytree(project, undisturbed, ignore=shutil.ignore_patterns("undisturbed"))
    for command in ("train", "evaluate"):
        assert sweep(undisturbed, *PIPELINE, command).wait(300) == 0

    moments = random.Random(4)
    resumed = 0
    for _ in range(20):
        process = sweep(project, *TRAIN, "--checkpoint-every", "0.1")
        assert process.stdout is not None
        for line in process.stdout:
            if "epochs in all" in line:
                break
        time.sleep(moments.uniform(0, 1.5))
        running = family(process)
        process.kill()
        process.communicate(timeout=10)
        assert_ended(running[1:])
        resumed += bool(list((project / ".cache" / cache.CHECKPOINTS).glob("[!.]*")))
    assert resumed >= 10  # or the moments are none in the middle of a run
    for command in ("train", "evaluate"):
        last = sweep(project, *PIPELINE, command)
        out, _ = last.communicate(timeout=300)
        assert last.returncode == 0, out
        if command == "train":
            assert "from a checkpoint on" in out

    assert (project / "results/curves.csv").read_bytes() == (undisturbed / "results/curves.csv").read_bytes()
    assert len(trained(project)) == len(SCHEDULERS)
    for name in trained(project):
        weights = [folder / "models" / name / records.WEIGHTS for folder in (project, undisturbed)]
        assert len({file.read_bytes() for file in weights}) == 1, name
    assert statuses(project) == {f"{name}-s0": ["FINISHED"] for name in SCHEDULERS}
    for folder in ("models", ".cache/runs", ".cache/checkpoints"):
        assert not list((project / folder).glob(".*"))  # nothing half-written is left
    assert not list((project / ".cache" / cache.CHECKPOINTS).iterdir())
