"""The bulk writer writes the same rows as MLflow's own client."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.tracking import bulk
from pipeline.tracking.experiment import Experiment, TrackedSweep
from tests.helpers.project import FOREIGN
from tests.tracking.conftest import Trained, log, only, open_experiment

pytestmark = pytest.mark.filterwarnings(*FOREIGN)
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics", "inputs", "datasets")


def content(root: Path) -> dict[str, list[str]]:
    """Return all rows of the tables about runs, after replacing ids and folders by fixed names."""
    rows = {}
    with sqlite3.connect(root / "mlflow.db") as connection:
        ids = [row[0] for row in connection.execute("select run_uuid from runs order by name")]
        for table in TABLES:
            lines = [repr(row) for row in connection.execute(f"select * from {table}")]
            for number, run_id in enumerate(ids):
                lines = [line.replace(run_id, f"run {number}") for line in lines]
            rows[table] = sorted(line.replace(str(root), "root") for line in lines)
    connection.close()
    return rows


def test_the_rows_are_those_of_the_client(
    tmp_path: Path, empty_store: Path, sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the runs has diverged, so its losses are NaN."""
    roots = [tmp_path / name for name in ("bulk", "client")]
    for root in roots:
        root.mkdir()
        (root / "mlflow.db").write_bytes(empty_store.read_bytes())
        if root.name == "client":
            monkeypatch.setattr(bulk, "is_known", lambda uri: False)
        log(open_experiment(replace(sweep, root=root)), *trained.records)
    first, second = map(content, roots)
    for table in TABLES:
        assert first[table] == second[table]
    assert len(first["runs"]) == 3
    assert any("nan" not in row and ", 1, " in row for row in first["metrics"])
    files = [
        {str(path.relative_to(root)).split("/", 3)[-1] for path in root.rglob("mlartifacts/**/*.*")} for root in roots
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3


def test_a_run_with_a_long_setting_goes_through_the_client(
    root: Path, experiment: Experiment, trained: Trained
) -> None:
    """Where a long value is cut is left to MLflow's client."""
    record = replace(trained.record, torch="2" * (bulk.LONGEST + 1))
    log(experiment, record)
    assert only(root, record).data.tags["torch"] == record.torch


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "file:///somewhere", "databricks"])
def test_only_a_database_gets_bulk_writes(uri: str) -> None:
    assert not bulk.is_known(uri)


def test_tables_with_unknown_columns_are_left_to_the_client(
    sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bulk.is_known("sqlite:///mlflow.db")
    monkeypatch.setitem(bulk.COLUMNS, "SqlTag", {"key", "value", "run_uuid", "workspace"})
    assert not bulk.is_known("sqlite:///mlflow.db")
    monkeypatch.setattr(bulk.BulkWriter, "write", pytest.fail)
    log(open_experiment(sweep), trained.record)
    assert only(sweep.root, trained.record).info.status == "FINISHED"
