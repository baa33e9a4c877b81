"""Fixtures: the prepared digits, a project to run commands in, and two ways to run them.

`pipeline` runs a command in this process, which costs no import; `start` starts a process that can be killed.
"""

import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import redirect_stderr, redirect_stdout
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib
import pytest
from filelock import FileLock

from pipeline import cli, datasets
from pipeline.datasets import Summary
from pipeline.datasets.digits import Digits
from pipeline.runs import params
from tests.nursery.nursery import FOLDER, Nursery, address, nursery
from tests.nursery.orders import Order
from tests.nursery.process import Cradle, Process
from tests.nursery.process import Start as Start
from tests.processes import assert_nothing_is_left
from tests.processes import mlflow_server as mlflow_server

if TYPE_CHECKING:
    import mlflow

ROOT = Path(__file__).parent.parent
SCHEDULERS = list(params.load(ROOT / "params.yaml").schedulers)
FOREIGN = ("ignore:::mlflow", "ignore:::sqlalchemy", "ignore:::alembic", "ignore::ResourceWarning")
"""Warnings that are not this project's: those of what uses MLflow's store."""


LONGEST = (
    *("test_guides.py", "test_ray.py", "test_tasks.py", "test_faults.py", "test_inputs.py", "test_repro.py"),
    *("test_random_kills.py", "test_team.py", "test_shutdown.py", "test_cli.py", "test_auto.py", "test_bits.py"),
    *("test_find_lr.py", "test_jobs.py", "test_calibration.py", "test_sharing.py", "test_kill.py"),
    *("test_experiments.py",),
)
"""Files whose tests take longest; a worker of pytest runs a whole file, and these come first so that none is last."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return the number of cores: a worker more would import all again, and take longer to do so than it saves."""
    return int(joblib.cpu_count())


def pytest_configure(config: pytest.Config) -> None:
    """Start a nursery for all workers of pytest; it costs little before it is asked for a command."""
    if not hasattr(config, "workerinput"):
        started = Nursery()
        config.add_cleanup(started.close)
        os.environ[FOLDER] = str(started.folder)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect no garbage while the tests are imported, which is a third of the time, and none of it later."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, and let tests that run commands ignore the warnings of MLflow's dependencies."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
    for item in items:
        if {"pipeline", "start"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.filterwarnings(*FOREIGN))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """As workers have it."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("MLFLOW_TRACKING", "MLFLOW_EXPERIMENT", "DVC_", "PIPELINE_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a process behind in its folder; the process is killed."""
    folder: Path | None = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        assert_nothing_is_left(folder)


FIXED = {"seeds": 5, "tasks.digits-mlp.lr": 0.15, "tasks.digits-mlp.epochs": 40}
"""What most tests change of params.yaml: one base rate and a fixed number of seeds make a sweep of few runs."""
_parsed = cache(params.parse)


def load(**changes: Any) -> params.Params:
    """The project's params.yaml with `FIXED` and other keys changed; `a__b` stands for `a.b`.

    Its text is parsed once, which takes ten times as long as all else.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(params, "parse", lambda text: deepcopy(_parsed(text)))
        dotted = {key.replace("__", "."): value for key, value in changes.items()}
        return params.load(ROOT / "params.yaml", changes=FIXED | dotted)


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
    """An MLflow store without runs, which takes two seconds to create; all workers of pytest share it."""
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
        patch.chdir(folder)  # MLflow makes a folder in the current one
        MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()


@pytest.fixture
def project(tmp_path: Path, digits: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with params.yaml, the prepared digits and an empty store, as the current one."""
    furnish(tmp_path, digits, empty_store)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def furnish(folder: Path, digits: Path, empty_store: Path) -> None:
    """Put into a folder what a project has before it is trained."""
    shutil.copy(ROOT / "params.yaml", folder)
    edit(folder, **FIXED)
    shutil.copy(empty_store, folder)
    shutil.copytree(digits, folder / "data")
    share_ranges(folder, empty_store)


def share_ranges(folder: Path, empty_store: Path) -> None:
    """Keep the range tests of all projects in one place: each is another, but most train the same network."""
    (shared := empty_store.parent / "ranges").mkdir(exist_ok=True)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "ranges").symlink_to(shared)


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pipeline(project: Path) -> Command:
    """Run `python -m pipeline ...` in the project, in this process: `pipeline("train", PIPELINE_JOBS="1")`.

    MLflow keeps an engine for each store that this process has used: a test that deletes or replaces a store, or
    mounts something, uses `start`.
    """

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
        modules = {*sys.modules}
        code: Any = 0
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(project)
            patch.setattr(sys, "argv", ["pipeline", *arguments])
            patch.setattr(sys, "path", [*sys.path])
            for name, value in {"COLUMNS": "200", **environment}.items():
                patch.setenv(name, value)
            try:
                with redirect_stdout(out), redirect_stderr(err):
                    cli.main()
            except SystemExit as end:
                code = end.code or 0
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)
                for name in {*sys.modules} - modules:  # a user's modules are other ones in another project
                    if str(project) in str(getattr(sys.modules[name], "__file__", "")):
                        del sys.modules[name]
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def _cradles() -> Iterator[dict[bool, Cradle]]:
    """The connections to the nursery that were needed, by whether they are for commands that mount something."""
    found: dict[bool, Cradle] = {}
    yield found
    for each in found.values():
        each.close()


@pytest.fixture
def start(project: Path, _cradles: dict[bool, Cradle]) -> Iterator[Start]:
    """Start real processes, each of which is killed with its session when the test ends."""
    started: list[Process] = []

    def begin(
        *arguments: str,
        folder: Path | None = None,
        mount: str = "",
        memory: int | None = None,
        under_parent: bool = False,
        **environment: str,
    ) -> Process:
        apart = bool(mount)
        if apart and subprocess.run(["unshare", "--map-root-user", "--mount", "true"]).returncode != 0:
            pytest.skip("no mounts are allowed here")
        if apart not in _cradles:
            _cradles[apart] = Cradle(address(nursery()))
        whole = {**os.environ, "COLUMNS": "200", **environment}
        order = Order("pipeline", [*arguments], str(folder or project), whole, mount, memory, under_parent)
        started.append(_cradles[apart].start(order))
        return started[-1]

    yield begin
    for process in started:
        process.end()


def edit(project: Path, **changes: Any) -> None:
    """Change keys of the project's params.yaml as `dvc exp run -S` does."""
    file = project / "params.yaml"
    file.write_text(_edited(file.read_text(), *(f"{key.replace('__', '.')}={each}" for key, each in changes.items())))


@cache
def _edited(text: str, *changes: str) -> str:
    """Return the text of params.yaml with changes; to parse and write it takes a quarter of a second."""
    from dvc.utils.hydra import apply_overrides

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(text)
        apply_overrides(file, list(changes))
        return file.read_text()


def set_model(project: Path, **model: Any) -> None:
    """Replace the model of digits-mlp in the project's params.yaml; `-S` can only change settings that it has."""
    from ruamel.yaml import YAML

    content = YAML().load(project / "params.yaml")
    content["tasks"]["digits-mlp"]["model"] = model
    YAML().dump(content, project / "params.yaml")


def tracked(uri: str, task: str = "digits-mlp", comparison: bool = False) -> "list[mlflow.entities.Run]":
    """The trained runs of a task that a store has, the first first; or the run with their comparison."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(task)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=10_000, order_by=["attributes.start_time"])
    return [run for run in found if run.data.tags.get("kind") == ("comparison" if comparison else None)]
