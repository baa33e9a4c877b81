"""Many runs logged at once are, row by row, what MLflow's client logs."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.datasets import Summary
from pipeline.tracking import bulk
from pipeline.tracking.bulk import Database
from tests.helpers.project import FOREIGN
from tests.tracking.conftest import TIMING, Trained, open_store

pytestmark = pytest.mark.filterwarnings(*FOREIGN)
TABLES = ("runs", "tags", "params", "metrics", "latest_metrics", "inputs", "datasets")


def content(root: Path) -> dict[str, list[str]]:
    """Every row of the tables with runs; ids and folders, which are drawn anew, by numbers."""
    found = {}
    with sqlite3.connect(root / "mlflow.db") as connection:
        ids = [row[0] for row in connection.execute("select run_uuid from runs order by name")]
        for table in TABLES:
            rows = [repr(row) for row in connection.execute(f"select * from {table}")]
            for number, each in enumerate(ids):
                rows = [row.replace(each, f"run {number}") for row in rows]
            found[table] = sorted(row.replace(str(root), "root") for row in rows)
    connection.close()
    return found


def test_the_rows_are_those_of_the_client(
    tmp_path: Path, empty_store: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that diverged, with losses that are no number, among them."""
    roots = [tmp_path / name for name in ("bulk", "client")]
    for root in roots:
        root.mkdir()
        (root / "mlflow.db").write_bytes(empty_store.read_bytes())
        if root.name == "client":
            monkeypatch.setattr(Database, "is_known", False)
        store = open_store(root, summary)
        store.log([(record, trained.folder(record), TIMING) for record in trained.records])
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


def test_a_run_with_a_long_setting_goes_through_the_client(root: Path, summary: Summary, trained: Trained) -> None:
    """MLflow knows best where to cut it."""
    record = replace(trained.record, torch="2" * (bulk.LONGEST + 1))
    store = open_store(root, summary)
    store.log([(record, trained.folder(record), TIMING)])
    (run,) = store.client.search_runs([store.experiment])
    assert run.data.tags["torch"] == record.torch


@pytest.mark.parametrize("uri", ["http://127.0.0.1:5000", "file:///somewhere", "databricks"])
def test_only_a_database_is_written_to(uri: str) -> None:
    assert not Database(uri, "1", "file:///artifacts").is_known


def test_tables_that_have_changed_are_left_to_the_client(monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database("sqlite:///mlflow.db", "1", "file:///artifacts")
    assert database.is_known
    monkeypatch.setitem(bulk.COLUMNS, "SqlTag", {"key", "value", "run_uuid", "workspace"})
    assert not database.is_known
