"""Log many finished runs at once, where the store is a database: MLflow's tables, filled in one transaction.

MLflow's client takes 20 ms a run, most of it for SQLAlchemy's object of every single figure; this takes 2. The rows are
those that the client would write, which a test compares. Where the tables are not as we know them, the client is used.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pipeline.tracking.client import FINISHED, Metric, Param, get_artifact_repository

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Kinds of databases that MLflow can keep its runs in."""
LARGEST = 1.7976931348623157e308
"""What MLflow writes for infinity."""
LONGEST = 500
"""The longest setting that any version of MLflow takes."""
COLUMNS = {
    "SqlRun": {
        *("run_uuid", "name", "source_type", "source_name", "entry_point_name", "user_id", "status", "start_time"),
        *("end_time", "deleted_time", "source_version", "lifecycle_stage", "artifact_uri", "experiment_id"),
    },
    "SqlTag": {"key", "value", "run_uuid"},
    "SqlParam": {"key", "value", "run_uuid"},
    "SqlMetric": {"key", "value", "timestamp", "step", "is_nan", "run_uuid"},
    "SqlLatestMetric": {"key", "value", "timestamp", "step", "is_nan", "run_uuid"},
}
"""The columns of MLflow's tables that are filled."""


@dataclass(frozen=True)
class WholeRun:
    """A run that has ended, with all that is logged of it."""

    name: str
    started: int
    """Milliseconds since 1970."""
    ended: int
    tags: Mapping[str, str]
    params: Sequence[Param]
    metrics: Sequence[Metric]
    folder: Path
    """Its files."""
    run_id: str = field(default_factory=lambda: uuid4().hex)


class Database:
    """The database behind a store.

    Args:
        uri: of the store.
        experiment: MLflow's id of it.
        artifacts: the URI of the experiment's files.
    """

    def __init__(self, uri: str, experiment: str, artifacts: str) -> None:
        self._uri, self._experiment, self._artifacts = uri, experiment, artifacts

    @property
    def is_known(self) -> bool:
        """True if the store is a database whose tables are as we know them."""
        if not self._uri.startswith(DATABASES):
            return False
        try:
            return all({column.name for column in _table(name).columns} == COLUMNS[name] for name in COLUMNS)
        except (ImportError, AttributeError):
            return False

    def artifacts_of(self, run_id: str) -> str:
        """Return the URI of a run's files."""
        from mlflow.utils import uri

        append: Any = uri.append_to_uri_path
        return str(append(self._artifacts, run_id, "artifacts"))

    def write(self, runs: Sequence[WholeRun]) -> list[WholeRun]:
        """Log runs, each whole or not at all: first their files, then all else; return those that nobody had logged."""
        for run in runs:
            self._files(run).log_artifacts(str(run.folder))
        with _engine(self._uri).begin() as connection:
            taken = self._taken(connection, runs)
            new = [run for run in runs if (run.name, run.tags["fingerprint"]) not in taken]
            rows: dict[str, list[dict[str, Any]]] = {name: [] for name in COLUMNS}
            for run in new:
                self._add(rows, run)
            for name, of in rows.items():
                if of:
                    connection.execute(_table(name).insert(), of)
        for run in runs:
            if run not in new:
                self._files(run).delete_artifacts()
        return new

    def _files(self, run: WholeRun) -> Any:
        return get_artifact_repository(self.artifacts_of(run.run_id), self._uri)

    def _taken(self, connection: "Connection", runs: Sequence[WholeRun]) -> set[tuple[str, str]]:
        """Return name and fingerprint of those that other projects have logged; until we commit, they log no more."""
        from sqlalchemy import select, update

        experiments, logged, tags = _table("SqlExperiment"), _table("SqlRun"), _table("SqlTag")
        own = experiments.c.experiment_id == int(self._experiment)
        # Changes nothing, and holds the row for us, in every database.
        connection.execute(update(experiments).where(own).values(last_update_time=experiments.c.last_update_time))
        query = (
            select(logged.c.name, tags.c.value)
            .join(tags, tags.c.run_uuid == logged.c.run_uuid)
            .where(tags.c.key == "fingerprint", tags.c.value.in_([run.tags["fingerprint"] for run in runs]))
            .where(logged.c.experiment_id == int(self._experiment))
            .where(logged.c.status == FINISHED, logged.c.lifecycle_stage == "active")
        )
        return {(name, fingerprint) for name, fingerprint in connection.execute(query)}

    def _add(self, rows: dict[str, list[dict[str, Any]]], run: WholeRun) -> None:
        """Add a run's rows to those of each table."""
        own = {"run_uuid": run.run_id}
        rows["SqlRun"].append(
            own
            | {"name": run.name, "experiment_id": int(self._experiment), "status": FINISHED}
            | {"start_time": run.started, "end_time": run.ended, "deleted_time": None, "lifecycle_stage": "active"}
            | {"artifact_uri": self.artifacts_of(run.run_id), "user_id": "unknown", "source_type": "UNKNOWN"}
            | {"source_name": "", "entry_point_name": "", "source_version": ""}
        )
        tags = {**run.tags, "mlflow.runName": run.name}
        rows["SqlTag"] += [own | {"key": key, "value": value} for key, value in tags.items()]
        rows["SqlParam"] += [own | {"key": param.key, "value": param.value} for param in run.params]
        latest: dict[str, dict[str, Any]] = {}
        for metric in run.metrics:
            row = own | {"key": metric.key, "timestamp": metric.timestamp, "step": metric.step, **_value(metric.value)}
            rows["SqlMetric"].append(row)
            if metric.key not in latest or _order(row) > _order(latest[metric.key]):
                latest[metric.key] = row
        rows["SqlLatestMetric"] += latest.values()


def fits(run: WholeRun) -> bool:
    """Return True if no setting of a run is so long that MLflow would cut it."""
    return all(len(param.value) <= LONGEST for param in run.params) and all(
        len(value) <= LONGEST for value in run.tags.values()
    )


def _value(value: float) -> dict[str, Any]:
    if math.isnan(value):
        return {"value": 0.0, "is_nan": True}
    return {"value": max(-LARGEST, min(LARGEST, value)), "is_nan": False}


def _order(row: Mapping[str, Any]) -> tuple[int, int, float]:
    return row["step"], row["timestamp"], row["value"]


def _table(name: str) -> Any:
    from mlflow.store.tracking.dbmodels import models

    return getattr(models, name).__table__


@cache
def _engine(uri: str) -> "Engine":
    from mlflow.store.db import utils

    create: Any = utils.create_sqlalchemy_engine_with_retry
    engine: Engine = create(uri)
    return engine
