"""A team's store: an MLflow server on PostgreSQL that two projects log to at the same time."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.datasets import Summary
from pipeline.tracking.bulk import Database, WholeRun
from tests.helpers.commands import Process, Start
from tests.helpers.postgres import database_of, postgres
from tests.helpers.processes import wait_for
from tests.helpers.project import FOREIGN, edit, tracked
from tests.helpers.servers import free_port, mlflow_server
from tests.tracking.conftest import TIMING, Trained, only, open_store

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
SEEDS = 10


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as uri:
        yield uri


def choose(folder: Path, scheduler: str) -> None:
    """Ask for a sweep of two: one whose rate is next to nothing, and one that is better by far."""
    settings = {"class": "ExponentialLR", "gamma": 0.8, "interval": "batch"}
    edit(
        folder,
        scheduler=f"[exponential,{scheduler}]",
        baseline="exponential",
        seeds=SEEDS,
        lr=0.05,
        **{"tasks__digits-mlp__epochs": 2},
        **{f"schedulers__exponential__{key}": value for key, value in settings.items()},
    )


def champion(client: MlflowClient, alias: str = "champion") -> str | None:
    """The scheduler of the model with an alias."""
    try:
        version = client.get_model_version_by_alias("digits-mlp", alias)
    except MlflowException:
        return None
    return str(version.tags["scheduler"])


def test_two_projects_sweep_into_one_store(
    start: Start, project: Path, database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """At the same time, and the server is restarted in between: every run is there once, with every epoch once."""
    kept, port = tmp_path_factory.mktemp("server"), free_port()
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(project / "data", other / "data")
    shutil.copy(project / "params.yaml", other)
    where = f"http://127.0.0.1:{port}"

    def begin(command: str, folder: Path) -> Process:
        return start(command, folder=folder, MLFLOW_TRACKING_URI=where, PIPELINE_JOBS="1")

    with mlflow_server(kept, database, port) as uri:
        client = MlflowClient(uri)
        choose(project, "constant")
        for command in ("train", "evaluate"):
            assert begin(command, project).wait().returncode == 0
        assert champion(client) == "constant"

        for folder in (project, other):
            choose(folder, "cosine")
        both = [begin("train", folder) for folder in (project, other)]
        wait_for(lambda: len(tracked(uri)) > 2 * SEEDS, every=0.5)
    with mlflow_server(kept, database, port) as uri:
        for process in both:
            done = process.wait()
            assert done.returncode == 0, done.stdout + done.stderr
        for process in [begin("evaluate", folder) for folder in (project, other)]:
            done = process.wait()
            assert done.returncode == 0, done.stdout + done.stderr
            assert "warning: MLflow" not in done.stdout
        runs = tracked(uri)
        names = [f"{scheduler}-s{seed}" for scheduler in ("constant", "cosine", "exponential") for seed in range(SEEDS)]
        assert sorted(run.info.run_name or "" for run in runs) == sorted(names)
        assert {run.info.status for run in runs} == {"FINISHED"}
        for run in runs:
            history = client.get_metric_history(run.info.run_id, "train/loss")
            assert sorted(metric.step for metric in history) == [1, 2]
        assert len(tracked(uri, comparison=True)) == 2
        assert (champion(client), champion(client, "previous")) == ("cosine", "constant")
        assert len(client.search_model_versions("name = 'digits-mlp'")) == 2


def test_many_runs_at_once_go_into_postgresql(
    database: str, root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a server in between, in one transaction, and a second project adds none."""
    uri = database_of(database, "alone")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    MlflowClient(uri).create_experiment("digits-mlp", artifact_location=str(root / "kept"))
    written: list[int] = []
    write = Database.write

    def noted(self: Database, runs: Sequence[WholeRun]) -> list[WholeRun]:
        new = write(self, runs)
        written.append(len(new))
        return new

    monkeypatch.setattr(Database, "write", noted)
    store = open_store(root, summary)
    (root / "other").mkdir()
    for each in (store, open_store(root / "other", summary)):
        each.log([(record, trained.folder(record), TIMING) for record in trained.records])
    assert written == [3]
    for record in trained.records:
        run = only(store, record)
        assert run.info.status == "FINISHED"
        assert len(store.client.get_metric_history(run.info.run_id, "lr")) == len(record.epochs)
        assert {file.path for file in store.client.list_artifacts(run.info.run_id)} >= {"model.safetensors", "run.json"}
