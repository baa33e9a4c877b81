"""Fixtures: the prepared digits, a project, and two ways to run commands in it.

`pipeline` runs a command in this process, without new imports; `start` starts a process that can be killed.
"""

import gc
import json
import os
import shutil
import warnings
from collections.abc import Generator, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import joblib
import pooch  # noqa: F401  # imported before any test, because its logger keeps the standard error of its first import
import pytest
from filelock import FileLock
from rich.console import Console
from xdist.scheduler import LoadScopeScheduling

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.datasets.digits import Digits
from pipeline.runs import params
from tests.helpers import fork_server
from tests.helpers.commands import Command, Start, run_here
from tests.helpers.fork_server import ForkServer
from tests.helpers.processes import assert_nothing_is_left
from tests.helpers.project import FOREIGN, ROOT, edit, furnish
from tests.helpers.stages import Stages


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of cores. A further worker would spend more time on imports than it saves."""
    return int(joblib.cpu_count())


class Units(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out single tests, but keeps a file with module-scoped fixtures on one worker; larger files come first.

    This class replaces `--dist loadgroup`, which does not group tests with pytest 9.2 (pytest-xdist, issue 1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if _has_module_fixture(file) else nodeid


@cache
def _has_module_fixture(file: str) -> bool:
    return 'scope="module"' in (ROOT / file).read_text(encoding="utf-8")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Units:
    return Units(config, log)


def pytest_configure(config: pytest.Config) -> None:
    """Start a fork server for all workers of pytest. The server imports nothing before its first request."""
    if not hasattr(config, "workerinput"):
        server = ForkServer()
        config.add_cleanup(server.close)
        os.environ[fork_server.FOLDER] = str(server.folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Import tests with garbage collection off, which saves a third of the time; exempt the modules from collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make tests that run commands ignore the warnings of MLflow's dependencies."""
    for item in items:
        if {"pipeline", "start"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.filterwarnings(*FOREIGN))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Use one thread, as workers do."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _denormal_numbers() -> None:
    """Keep denormal numbers. After training, its process would flush them, so a test would depend on earlier tests."""
    import torch

    torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "DVC_", "PIPELINE_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process behind in its folder, and kill the process.

    Only tests with a store start processes in their folders.
    """
    if {"empty_store", "tmp_path"} <= {*request.fixturenames}:
        folder: Path = request.getfixturevalue("tmp_path")
        yield
        assert_nothing_is_left(folder)
    else:
        yield


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the prepared digits."""
    folder = tmp_path_factory.mktemp("digits")
    datasets.prepare(Digits(), folder, folder)
    return folder


@pytest.fixture(scope="session")
def summary(digits: Path) -> Summary:
    return datasets.summary(digits)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store without runs. All workers of pytest share it, because creating one takes two seconds."""
    shared = tmp_path_factory.getbasetemp()
    folder = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "store"
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            _create_store(folder)
    return folder / "mlflow.db"


def _create_store(folder: Path) -> None:
    from mlflow import MlflowClient

    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.chdir(folder)  # because MLflow creates a folder in the current folder
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()


@pytest.fixture
def project(tmp_path: Path, digits: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which contains params.yaml, the prepared digits and an empty store."""
    furnish(tmp_path, digits, empty_store)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pipeline(project: Path) -> Command:
    """Runs `python -m pipeline ...` in the project and in this process: `pipeline("train", PIPELINE_JOBS="1")`."""
    return partial(run_here, project)


@pytest.fixture
def start(project: Path) -> Iterator[Start]:
    """Starts real processes; when the test ends, each process is killed with its session."""
    processes = Start(project)
    yield processes
    processes.end()


@pytest.fixture
def run_stages(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Stages:
    """A function that runs download, train and evaluate in `tmp_path`, and returns results/schedulers.json."""
    from pipeline.stages.common import Machine
    from pipeline.stages.download import download
    from pipeline.stages.evaluate import evaluate
    from pipeline.stages.train import train

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*os.sys.path])  # type: ignore[attr-defined]
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copy(empty_store, tmp_path)

    def run(**changes: Any) -> dict[str, Any]:
        edit(tmp_path, **changes)
        wanted, console = params.load(), Console(quiet=True)
        download(wanted)
        train(wanted, console, Machine(jobs=2, device="cpu"))
        evaluate(wanted, console, Machine(jobs=1, device="cpu"))
        figures: dict[str, Any] = json.loads((tmp_path / "results" / "schedulers.json").read_text())
        return figures

    return run
