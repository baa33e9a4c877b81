"""What several tests need: the project's own params.yaml, the digits, and a project to run in."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import requests
import torch

from pipeline import data, params
from pipeline.data import Summary

if TYPE_CHECKING:
    import mlflow

torch.set_num_threads(1)  # as workers have it: with two, tests that run side by side take ten times as long

ROOT = Path(__file__).parent.parent
SCHEDULERS = list(params.load(ROOT / "params.yaml").schedulers)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "DVC_", "PIPELINE_")):
            monkeypatch.delenv(name)


def load(**changes: Any) -> params.Params:
    """The project's params.yaml with some keys changed; `a__b` stands for `a.b`, and `_` in a task for `-`."""
    return params.load(ROOT / "params.yaml", changes={key.replace("__", "."): value for key, value in changes.items()})


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the prepared digits."""
    folder = tmp_path_factory.mktemp("digits")
    data.prepare({"name": "digits"}, folder, folder)
    return folder


@pytest.fixture(scope="session")
def summary(digits: Path) -> Summary:
    return data.summary(digits)


@pytest.fixture
def project(tmp_path: Path, digits: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml and the prepared digits, as the current one."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(digits, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pipeline(project: Path) -> Command:
    """Run `python -m pipeline ...` in the project, as DVC does."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments],
            cwd=project,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


def edit(project: Path, **changes: Any) -> None:
    """Change keys of the project's params.yaml as `dvc exp run -S` does."""
    from dvc.utils.hydra import apply_overrides

    apply_overrides(project / "params.yaml", [f"{key.replace('__', '.')}={value}" for key, value in changes.items()])


def tracked(uri: str, task: str = "digits-mlp", comparison: bool = False) -> "list[mlflow.entities.Run]":
    """The runs of a task that a store has, the first first; or what was said of them together."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(task)
    found = client.search_runs([experiment.experiment_id], max_results=10_000, order_by=["attributes.start_time"])
    return [run for run in found if (run.info.run_name == "comparison") == comparison]


@contextmanager
def mlflow_server(folder: Path, port: int = 0) -> Iterator[str]:
    """A real MLflow server over HTTP, which keeps all in ``folder``, the artifacts too; its address."""
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/kept"]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **quiet) as server:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with suppress(requests.ConnectionError):
                    if requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok:
                        break
                time.sleep(0.3)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(server.pid, signal.SIGKILL)  # with its worker; at once, as servers go down


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    """Until ``what`` answers true; an error after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_ended(processes: list[psutil.Process]) -> None:
    """Within ten seconds. One that waits to be reaped has ended; orphans are init's, which may take its time."""

    def runs(process: psutil.Process) -> bool:
        try:
            return bool(process.status() != psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return False

    wait_for(lambda: not any(map(runs, processes)), 10)
