"""Trained runs, and a store that need not be migrated again, for all tests of MLflow."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.entities import Run as MlflowRun

from pipeline.datasets import Summary
from pipeline.runs.params import Params
from pipeline.runs.records import Record, Timing
from pipeline.sweep.pool import Workers
from pipeline.tracking.store import Store
from tests.helpers.project import load
from tests.sweep.sweeping import trained as train_into

TIMING = Timing(1_700_000_000.0, 2.5)


@dataclass(frozen=True)
class Trained:
    """Runs that were trained for real."""

    models: Path
    record: Record
    other: Record
    diverged: Record

    @property
    def records(self) -> list[Record]:
        return [self.record, self.other, self.diverged]

    def folder(self, record: Record) -> Path:
        return self.models / record.run.name


def wanted(**changes: object) -> Params:
    return load(**{"tasks__digits-mlp__epochs": 3, "scheduler": ["sequential", "step"], "seeds": 1, **changes})


@pytest.fixture(scope="session")
def trained(digits: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    runs = wanted().runs(1077) + wanted(scheduler="constant", lr=1e12).runs(1077)
    with Workers(1, "cpu") as workers:
        done = list(train_into(workers, runs, digits, folder, stack_size=1))
    return Trained(folder / "models", *(each.record for each in done))


@pytest.fixture
def root(tmp_path: Path, empty_store: Path) -> Path:
    """A project's folder with a store of its own."""
    shutil.copy(empty_store, tmp_path)
    return tmp_path


def fail(line: str) -> None:
    pytest.fail(line)


def open_store(root: Path, summary: Summary, warn: Callable[[str], None] = fail) -> Store:
    return Store(root, "digits-mlp", wanted().run_task, summary, warn)


def only(store: Store, record: Record) -> MlflowRun:
    """The one run of a record in the store, whatever its status."""
    query = f"attributes.run_name = '{record.run.name}' and tags.fingerprint = '{record.fingerprint}'"
    (run,) = store.client.search_runs([store.experiment], query)
    return run
