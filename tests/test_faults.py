"""What goes wrong around a sweep, caused for real: it costs no result, and is one line."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Command, edit, mlflow_server, tracked, wait_for
from tests.test_shutdown import sweep, trained

QUICK = {"scheduler": "[cosine,step]", "seeds": 2, "tasks__digits-mlp__epochs": 2}
NAMES = ["cosine-s0", "cosine-s1", "step-s0", "step-s1"]
pytestmark = pytest.mark.filterwarnings(
    "ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning"
)


def assert_tracked_once(uri: str, names: list[str]) -> None:
    """Every run once and whole, with its figures of the test set."""
    found = tracked(uri)
    assert sorted(run.info.run_name for run in found) == names
    for run in found:
        assert run.info.status == "FINISHED"
        assert {"test/loss", "test/accuracy", "val/loss"} <= set(run.data.metrics)


def warnings(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("warning:")]


def in_namespace(project: Path, mount: str, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the pipeline where ``mount`` was done before, which nobody else sees; root is not needed."""
    script = f'{mount} && exec "$@"'
    whole = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if subprocess.run([*whole, "true"], cwd=project, capture_output=True).returncode != 0:
        pytest.skip("no mounts are allowed here")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "COLUMNS": "200", **environment}
    whole += [sys.executable, "-m", "pipeline", *command]
    return subprocess.run(whole, cwd=project, env=environment, capture_output=True, text=True, timeout=300)


def assert_kept(done: subprocess.CompletedProcess[str], project: Path, reason: str) -> None:
    """It went well but for one warning, which says why, and what to do."""
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = warnings(done.stdout)
    assert reason in line
    assert "`python -m pipeline track` logs them" in line
    assert done.stderr == ""
    assert trained(project) == NAMES


def test_a_store_that_is_deleted_between_the_stages(pipeline: Command, project: Path) -> None:
    edit(project, **QUICK)
    assert pipeline("train").returncode == 0
    for file in project.glob("mlflow.db*"):
        file.unlink()
    shutil.rmtree(project / "mlartifacts")
    done = pipeline("evaluate")
    assert done.returncode == 0, done.stderr
    assert not warnings(done.stdout)
    assert_tracked_once(f"sqlite:///{project}/mlflow.db", NAMES)

    for file in project.glob("mlflow.db*"):
        file.unlink()
    done = pipeline("track")
    assert "has all 4 runs of digits-mlp, 4 of them from now on" in done.stdout
    assert "has all 4 runs of digits-mlp, 0 of them from now on" in pipeline("track").stdout
    assert_tracked_once(f"sqlite:///{project}/mlflow.db", NAMES)

    for file in project.glob("mlflow.db*"):
        file.unlink()
    assert "took 4 from the cache" in pipeline("train").stdout  # a run of the cache is logged from its record
    assert [run.info.status for run in tracked(f"sqlite:///{project}/mlflow.db")] == ["FINISHED"] * 4


def test_a_store_that_is_read_only(pipeline: Command, project: Path) -> None:
    edit(project, **QUICK)
    assert pipeline("train", MLFLOW_TRACKING_URI="sqlite:///mlflow.db").returncode == 0
    shutil.rmtree(project / ".cache")
    edit(project, **{"tasks__digits-mlp__epochs": 3})  # other runs, which the store does not have
    mount = "mount --bind mlflow.db mlflow.db && mount -o remount,bind,ro mlflow.db"
    for command in ("train", "evaluate"):
        assert_kept(in_namespace(project, mount, command), project, "attempt to write a readonly database")
    assert (project / "results" / "metrics.json").exists()
    assert "4 of them from now on" in pipeline("track").stdout
    found = tracked(f"sqlite:///{project}/mlflow.db")
    assert Counter(run.data.params["epochs"] for run in found) == {"2": 4, "3": 4}
    assert {run.info.status for run in found} == {"FINISHED"}


def test_a_store_whose_disk_is_full(pipeline: Command, project: Path) -> None:
    """The store takes most of the disk; of 60 epochs the first run does not fit."""
    edit(project, **QUICK)
    assert pipeline("train").returncode == 0
    edit(project, **{"tasks__digits-mlp__epochs": 60})
    (project / "disk").mkdir()
    size = (project / "mlflow.db").stat().st_size + 40_000
    mount = f"mount -t tmpfs -o size={size} tmpfs disk && cp mlflow.db disk"
    uri = f"sqlite:///{project}/disk/mlflow.db"
    done = in_namespace(project, mount, "train", MLFLOW_TRACKING_URI=uri)
    assert_kept(done, project, "database or disk is full")
    for file in project.glob("mlflow.db*"):
        file.unlink()
    assert pipeline("evaluate").returncode == 0  # into another store
    assert_tracked_once(f"sqlite:///{project}/mlflow.db", NAMES)


def test_a_server_that_goes_down_and_comes_back(pipeline: Command, project: Path) -> None:
    names = sorted(f"constant-s{seed}" for seed in range(40))
    edit(project, scheduler="constant", seeds=40, **{"tasks__digits-mlp__epochs": 5})
    with mlflow_server(project) as uri:
        process = sweep(project, MLFLOW_TRACKING_URI=uri)
        wait_for(lambda: len(trained(project)) >= 5, 90)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    (line,) = warnings(out)
    assert uri in line
    assert "Traceback" not in out
    assert trained(project) == names
    done = pipeline("evaluate", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 0, done.stderr
    assert len(warnings(done.stdout)) == 1
    assert (project / "results" / "curves.csv").exists()
    done = pipeline("track", MLFLOW_TRACKING_URI=uri)
    assert done.returncode == 2
    assert "Connection refused" in done.stderr

    with mlflow_server(project, int(uri.rpartition(":")[2])):
        done = pipeline("track", MLFLOW_TRACKING_URI=uri)
        assert done.returncode == 0, done.stderr
        assert "has all 40 runs" in done.stdout
        assert_tracked_once(uri, names)
        (comparison,) = tracked(uri, comparison=True)
        assert comparison.data.tags["verdict"].startswith("There is nothing to compare: the baseline")


def test_a_run_whose_worker_is_killed_again_and_again(pipeline: Command, project: Path) -> None:
    """As the kernel does where memory ends; here by the network itself, with seed 1."""
    (project / "mine.py").write_text(
        "import os, signal, torch\n"
        "class Deadly(torch.nn.Linear):\n"
        "    def forward(self, x):\n"
        "        if self.training and torch.initial_seed() == 1:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().forward(x.flatten(1))\n"
        "def build(shape, classes, **settings):\n"
        "    return Deadly(64, classes)\n"
    )
    edit(project, **{**QUICK, "seeds": 3}, **{"tasks__digits-mlp__model": '{name: "mine:build"}'})
    environment = {"PYTHONPATH": f"{ROOT}:{project}"}
    done = pipeline("train", "--jobs", "2", **environment)
    assert done.returncode == 1, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("error: 2 of 6 runs failed (a worker process was ended from outside): ")
    for name in ("cosine-s1", "step-s1"):
        assert name in line
    assert trained(project) == ["cosine-s0", "cosine-s2", "step-s0", "step-s2"]
    statuses = {run.info.run_name: run.info.status for run in tracked(f"sqlite:///{project}/mlflow.db")}
    assert statuses == dict.fromkeys(trained(project), "FINISHED") | {"cosine-s1": "FAILED", "step-s1": "FAILED"}
    assert not (project / "models" / "sweep.json").exists()

    edit(project, seeds="[0,2]")  # what the others are is no matter of theirs
    assert "trained 0 runs and took 4 from the cache" in pipeline("train", **environment).stdout


def test_too_little_memory_for_the_network(pipeline: Command, project: Path) -> None:
    model = "{name: mlp, hidden: [1000000, 1000000]}"  # four terabytes
    edit(project, **QUICK, **{"tasks__digits-mlp__model": model})
    done = pipeline("train")
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert "out of memory" in line
    assert "allocate" in line
    assert not (project / "models").exists()


@pytest.mark.parametrize("folder", ["models", ".cache", "results", "."])
def test_no_permission_to_write(pipeline: Command, project: Path, folder: str) -> None:
    edit(project, **QUICK)
    assert pipeline("train").returncode == 0
    (project / "results").mkdir()
    edit(project, seeds=3)
    command = {"results": "evaluate", ".": "download"}.get(folder, "train")
    if command == "evaluate":
        edit(project, seeds=2)
    before = {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()}
    place = project / folder
    mount = f"mount --bind {place} {place} && mount -o remount,bind,ro {place} && cd {project}"
    done = in_namespace(project, mount, command)
    assert done.returncode == 1, done.stdout + done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert "could not be written: Read-only file system" in line
    assert {".": "data"}.get(folder, folder) in line
    assert {path: path.read_bytes() for path in (project / "models").rglob("*") if path.is_file()} == before


def test_a_cache_that_cannot_be_written_to_costs_no_run(pipeline: Command, project: Path) -> None:
    edit(project, **QUICK)
    (project / ".cache" / "runs").mkdir(parents=True)
    done = in_namespace(project, "mount -t tmpfs -o ro tmpfs .cache/runs", "train")
    assert done.returncode == 0, done.stderr
    (line,) = warnings(done.stdout)  # not one a run
    assert "is not kept in the run cache: Read-only file system" in line
    assert trained(project) == NAMES


def limited(project: Path, megabytes: int, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the pipeline with so much address space beyond what PyTorch takes."""
    import resource

    script = "import psutil, torch; print(psutil.Process().memory_info().vms)"
    torch = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(torch.stdout) + megabytes * 10**6,) * 2)

    return subprocess.run(
        [sys.executable, "-m", "pipeline", *command],
        cwd=project,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        preexec_fn=limit,
    )


def test_too_little_memory_for_the_data(project: Path) -> None:
    """Three gigabytes of pictures where there is one."""
    from PIL import Image

    for name in ("a", "b"):
        (project / "pictures" / name).mkdir(parents=True)
        for number in range(30):
            Image.new("L", (4, 4), number).save(project / "pictures" / name / f"{number}.png")
    dataset: Any = "{name: image-folder, path: pictures, size: [4096, 4096], channels: 3}"
    edit(project, **{"tasks__digits-mlp__dataset": dataset})
    before = sorted(file.name for file in (project / "data").iterdir())
    done = limited(project, 1000, "download")
    assert done.returncode == 1, done.stderr[-2000:]
    (line,) = done.stderr.strip().splitlines()
    assert "too little memory" in line
    assert sorted(file.name for file in (project / "data").iterdir()) == before
