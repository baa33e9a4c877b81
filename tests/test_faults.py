"""When something really fails during a sweep, no results are lost, and the failure is reported in one line."""

import shutil
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.commands import Command, Start
from tests.helpers.processes import wait_for
from tests.helpers.project import edit, furnish, tracked, trained
from tests.helpers.servers import mlflow_server

QUICK = {"scheduler": "[cosine,step]", "baseline": "step", "seeds": 2, "tasks__digits-mlp__epochs": 2}
NAMES = ["cosine-s0", "cosine-s1", "step-s0", "step-s1"]


@pytest.fixture(scope="module")
def swept(digits: Path, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small sweep, which another process has trained."""
    folder = tmp_path_factory.mktemp("swept")
    furnish(folder, digits, empty_store)
    edit(folder, **QUICK)
    process = Start(folder)("train")
    assert process.wait().returncode == 0
    process.end()
    return folder


@pytest.fixture
def quick(swept: Path, project: Path) -> Path:
    """The project, with the trained sweep copied from `swept`; the artifacts of its runs stay in `swept`."""
    for name in ("models", ".cache/runs"):
        shutil.copytree(swept / name, project / name)
    for name in ("params.yaml", "mlflow.db"):
        shutil.copy(swept / name, project)
    return project


def assert_tracked_once(uri: str, names: list[str]) -> None:
    """Check that every run is tracked exactly once and has test figures."""
    found = tracked(uri)
    assert sorted(run.info.run_name for run in found) == names
    for run in found:
        assert run.info.status == "FINISHED"
        assert {"test/loss", "test/accuracy", "val/loss"} <= set(run.data.metrics)


def warnings(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("warning:")]


def store(project: Path, version: int = 0) -> str:
    """Return the URI of the project's store; each ``version`` is another spelling of the same path.

    This process keeps a database engine for each URI, so a test that has deleted the store must use another spelling.
    """
    return f"sqlite:///{project}/{'./' * version}mlflow.db"


def delete_store(project: Path) -> None:
    for file in project.glob("mlflow.db*"):
        file.unlink()


def assert_kept(done: subprocess.CompletedProcess[str], project: Path, reason: str) -> None:
    """Check that a command succeeded with one warning, which gives the reason and the command that helps."""
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = warnings(done.stdout)
    assert reason in line
    assert "`uv run pipeline track` then logs what is missing" in line
    assert done.stderr == ""
    assert trained(project) == NAMES


@pytest.mark.slow
def test_a_store_that_is_emptied_and_deleted(start: Start, quick: Path, empty_store: Path) -> None:
    project = quick
    shutil.copy(empty_store, project)
    assert "took 4 from the cache" in start("train").wait().stdout  # cached runs are logged, too
    assert [run.info.status for run in tracked(store(project))] == ["FINISHED"] * 4

    delete_store(project)
    done = start("evaluate").wait()
    assert done.returncode == 0, done.stderr
    assert not warnings(done.stdout)
    assert_tracked_once(store(project, 1), NAMES)
    assert "has all 4 runs of digits-mlp, 0 of them new" in start("track").wait().stdout


@pytest.mark.slow
def test_a_store_that_is_read_only(start: Start, quick: Path) -> None:
    project = quick
    shutil.rmtree(project / ".cache" / "runs")
    edit(project, **{"tasks__digits-mlp__epochs": 3})  # makes other runs, which are not in the store yet
    mount = "mount --bind mlflow.db mlflow.db && mount -o remount,bind,ro mlflow.db"
    for command, script in {"train": mount, "evaluate": "true"}.items():  # later commands see the mount, too
        done = start(command, mount=script).wait()
        assert_kept(done, project, "attempt to write a readonly database")
    assert (project / "results" / "metrics.json").exists()
    assert "4 of them new" in start("track").wait().stdout
    found = tracked(store(project))
    assert Counter(run.data.params["epochs"] for run in found) == {"2": 4, "3": 4}
    assert {run.info.status for run in found} == {"FINISHED"}


@pytest.mark.slow
def test_a_store_whose_disk_is_full(start: Start, quick: Path, empty_store: Path) -> None:
    """The store fills most of the disk, so there is no space for the metrics of 60 epochs."""
    project = quick
    edit(project, **{"tasks__digits-mlp__epochs": 60})
    (project / "disk").mkdir()
    size = (project / "mlflow.db").stat().st_size + 40_000
    mount = f"mount -t tmpfs -o size={size} tmpfs disk && cp mlflow.db disk"
    uri = f"sqlite:///{project}/disk/mlflow.db"
    done = start("train", mount=mount, MLFLOW_TRACKING_URI=uri).wait()
    assert_kept(done, project, "database or disk is full")
    shutil.copy(empty_store, project)
    assert start("evaluate").wait().returncode == 0  # it logs to another store
    assert_tracked_once(store(project), NAMES)


@pytest.mark.slow
def test_a_server_that_goes_down_and_comes_back(
    pipeline: Command, start: Start, project: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = sorted(f"constant-s{seed}" for seed in range(20))
    edit(project, scheduler="constant", seeds=20, **{"tasks__digits-mlp__epochs": 10})
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # allows only one retry, without a pause
    with mlflow_server(project, empty_store) as uri:
        process = start("train", MLFLOW_TRACKING_URI=uri)
        wait_for(lambda: len(trained(project)) >= 5)
        process.send_signal(signal.SIGSTOP)  # while some runs are not logged yet
    process.send_signal(signal.SIGCONT)
    done = process.wait()
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = warnings(done.stdout)
    assert uri in line
    assert "Traceback" not in done.stdout + done.stderr
    assert trained(project) == names
    done = pipeline("evaluate", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    assert len(warnings(done.stdout)) == 1
    assert (project / "results" / "curves.csv").exists()
    done = pipeline("track", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 2
    assert "Connection refused" in done.stderr

    with mlflow_server(project, empty_store, int(uri.rpartition(":")[2])):
        done = pipeline("track", MLFLOW_TRACKING_URI=uri)
        assert done.returncode == 0, done.stderr
        assert "has all 20 runs" in done.stdout
        assert_tracked_once(uri, names)
        assert tracked(uri, comparison=True) == []  # a single scheduler has no comparison


@pytest.mark.slow
def test_a_run_whose_worker_is_killed_repeatedly(pipeline: Command, project: Path) -> None:
    """With seed 1, the network kills its own process, as the kernel would if memory ran out."""
    (project / "mine.py").write_text(
        "import os, signal, torch\n"
        "class Deadly(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        if x.min().item() < 0 or (self.training and torch.initial_seed() == 1):\n"  # never in a stack
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().forward(x.flatten(1))\n"
        "def build(shape, classes, **settings):\n"
        "    return Deadly(64, classes)\n"
    )
    edit(project, **{**QUICK, "seeds": 3}, **{"tasks__digits-mlp__model": '{name: "mine:build"}'})
    done = pipeline("train", "--jobs", "2")
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: 2 of 6 runs failed (a worker process was killed): ")
    for name in ("cosine-s1", "step-s1"):
        assert name in line
    assert trained(project) == ["cosine-s0", "cosine-s2", "step-s0", "step-s2"]
    statuses = {run.info.run_name: run.info.status for run in tracked(f"sqlite:///{project}/mlflow.db")}
    assert statuses == dict.fromkeys(trained(project), "FINISHED") | {"cosine-s1": "FAILED", "step-s1": "FAILED"}
    assert not (project / "models" / "sweep.json").exists()

    edit(project, seeds="[0,2]")  # these runs are already trained
    assert "trained 0 runs and took 4 from the cache" in pipeline("train").stdout


@pytest.mark.slow
def test_too_little_memory_for_the_network(pipeline: Command, project: Path) -> None:
    model = "{name: mlp, hidden: [1000000, 1000000]}"  # four terabytes of weights
    edit(project, **QUICK, **{"tasks__digits-mlp__model": model})
    done = pipeline("train")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "out of memory" in line
    assert "allocate" in line
    assert not (project / "models").exists()


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["models", ".cache", "results", "."])
def test_no_permission_to_write(start: Start, quick: Path, folder: str) -> None:
    project = quick
    (project / "results").mkdir()
    edit(project, seeds=3)
    command = {"results": "evaluate", ".": "download"}.get(folder, "train")
    if command == "evaluate":
        edit(project, seeds=2)
    before = {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()}
    mount = f"mount --bind {project / folder} {project / folder} && mount -o remount,bind,ro {project / folder}"
    done = start(command, mount=mount).wait()
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "could not be written: Read-only file system" in line
    assert {".": "data"}.get(folder, folder) in line
    assert {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()} == before


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_costs_no_run(start: Start, project: Path) -> None:
    edit(project, **QUICK)
    (project / ".cache" / "runs").mkdir(parents=True)
    done = start("train", mount="mount -t tmpfs -o ro tmpfs .cache/runs").wait()
    assert done.returncode == 0, done.stderr
    (line,) = warnings(done.stdout)  # there is one warning for all runs
    assert "is not kept in the run cache: Read-only file system" in line
    assert trained(project) == NAMES


def test_too_little_memory_for_the_data(start: Start, project: Path) -> None:
    """The pictures take three gigabytes, but only one gigabyte is available."""
    from PIL import Image

    for name in ("a", "b"):
        (project / "pictures" / name).mkdir(parents=True)
        for number in range(30):
            Image.new("L", (4, 4), number).save(project / "pictures" / name / f"{number}.png")
    dataset: Any = "{name: image-folder, path: pictures, size: [4096, 4096], channels: 3}"
    edit(project, **{"tasks__digits-mlp__dataset": dataset})
    before = sorted(file.name for file in (project / "data").iterdir())
    done = start("download", memory=10**9).wait()
    assert done.returncode == 1, done.stderr[-2000:]
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr[-2000:]
    assert "too little memory" in done.stderr
    assert sorted(file.name for file in (project / "data").iterdir()) == before
