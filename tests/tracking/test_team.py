"""A team's store: two projects log to an MLflow server on PostgreSQL at the same time."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.tracking.bulk import BulkWriter
from pipeline.tracking.experiment import TrackedSweep
from pipeline.tracking.writers import EndedRun
from tests.helpers.commands import Process, Start
from tests.helpers.postgres import database_of, postgres
from tests.helpers.processes import wait_for
from tests.helpers.project import FOREIGN, edit, tracked
from tests.helpers.servers import free_port, mlflow_server
from tests.tracking.conftest import Trained, finish, only, open_tracker, steps

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings(*FOREIGN)]
SEEDS = 10


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as uri:
        yield uri


def choose(folder: Path) -> None:
    """Set a sweep of two schedulers: one whose rate falls to almost 0, and a far better one."""
    settings = {"class": "ExponentialLR", "gamma": 0.8, "interval": "batch"}
    edit(
        folder,
        scheduler="[exponential,cosine]",
        baseline="exponential",
        seeds=SEEDS,
        lr=0.05,
        **{"tasks__digits-mlp__epochs": 2},
        **{f"schedulers__exponential__{key}": value for key, value in settings.items()},
    )


def test_two_projects_sweep_into_one_store(
    start: Start, project: Path, database: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The server restarts in between. In the end every run is logged once, with every epoch once."""
    kept, port = tmp_path_factory.mktemp("server"), free_port()
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(project / "data", other / "data")
    shutil.copy(project / "params.yaml", other)
    where = f"http://127.0.0.1:{port}"

    def begin(command: str, folder: Path) -> Process:
        return start(command, folder=folder, MLFLOW_TRACKING_URI=where, PIPELINE_JOBS="1")

    with mlflow_server(kept, database, port) as uri:
        client = MlflowClient(uri)
        for folder in (project, other):
            choose(folder)
        both = [begin("train", folder) for folder in (project, other)]
        wait_for(lambda: client.get_experiment_by_name("digits-mlp") and tracked(uri), every=0.5)
    with mlflow_server(kept, database, port) as uri:
        for process in both:
            done = process.wait()
            assert done.returncode == 0, done.stdout + done.stderr
        for process in [begin("evaluate", folder) for folder in (project, other)]:
            done = process.wait()
            assert done.returncode == 0, done.stdout + done.stderr
            assert "warning: MLflow" not in done.stdout
        runs = tracked(uri)
        names = [f"{scheduler}-s{seed}" for scheduler in ("cosine", "exponential") for seed in range(SEEDS)]
        assert sorted(run.info.run_name or "" for run in runs) == sorted(names)
        assert {run.info.status for run in runs} == {"FINISHED"}
        for run in runs:
            history = client.get_metric_history(run.info.run_id, "train/loss")
            assert sorted(metric.step for metric in history) == [1, 2]
        assert len(tracked(uri, comparison=True)) == 1  # both projects found the same
        (version,) = client.search_model_versions("name = 'digits-mlp'")
        assert version.tags["scheduler"] == "cosine"
        assert client.get_model_version_by_alias("digits-mlp", "champion").version == version.version


def test_bulk_writes_go_into_postgresql(
    database: str, root: Path, sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a server, all runs are one transaction, and a second project adds no copies."""
    uri = database_of(database, "alone")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    MlflowClient(uri).create_experiment("digits-mlp", artifact_location=str(root / "kept"))
    inserted: list[int] = []
    insert = BulkWriter.insert

    def noted(self: BulkWriter, runs: Sequence[EndedRun]) -> set[str]:
        ids = insert(self, runs)
        inserted.append(len(ids))
        return ids

    monkeypatch.setattr(BulkWriter, "insert", noted)
    (root / "other").mkdir()
    for each in (open_tracker(sweep), open_tracker(replace(sweep, root=root / "other"))):
        finish(each, *trained.records)
    assert inserted == [3]
    client = MlflowClient(uri)
    for record in trained.records:
        run = only(root, record)
        assert run.info.status == "FINISHED"
        assert steps(root, record) == [epoch.epoch for epoch in record.epochs]
        assert {file.path for file in client.list_artifacts(run.info.run_id)} >= {"model.safetensors", "run.json"}
