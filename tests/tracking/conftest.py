"""Trained runs and copies of an empty store, which all tests of MLflow share."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun

from pipeline.datasets import Summary
from pipeline.report import results_folder
from pipeline.runs.metric import Figures
from pipeline.runs.params import Params
from pipeline.runs.records import Record, Timing
from pipeline.sweep.jobs import Evaluation
from pipeline.sweep.jobs import Trained as Done
from pipeline.sweep.pool import Workers
from pipeline.tracking.client import connect, store_uri
from pipeline.tracking.experiment import Experiment, TrackedSweep
from pipeline.tracking.tracker import Tracker
from tests.helpers.project import load
from tests.sweep.sweeping import trained as train_into

TIMING = Timing(1_700_000_000.0, 2.5)


@dataclass(frozen=True)
class Trained:
    """The records and files of three trained runs."""

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
    """The folder of a project, with an empty store."""
    shutil.copy(empty_store, tmp_path)
    return tmp_path


@pytest.fixture
def sweep(root: Path, summary: Summary, trained: Trained) -> TrackedSweep:
    return TrackedSweep(root, wanted(), summary, trained.models)


@pytest.fixture
def experiment(sweep: TrackedSweep) -> Experiment:
    return open_experiment(sweep)


def open_experiment(sweep: TrackedSweep) -> Experiment:
    """Open the MLflow experiment of a sweep, and create it if it does not exist."""
    (sweep.root / ".cache").mkdir(exist_ok=True)
    return Experiment(connect(store_uri(sweep.root), sweep.params.task), sweep)


def fail(line: str) -> None:
    pytest.fail(line)


def open_tracker(sweep: TrackedSweep, warn: Callable[[str], None] = fail, **more: Any) -> Tracker:
    return Tracker(sweep, warn, **more)


def log(experiment: Experiment, *records: Record) -> None:
    experiment.finish([(record, TIMING) for record in records])


def finish(tracker: Tracker, *records: Record) -> None:
    """Log trained runs at once."""
    tracker.finish([Done(record, TIMING, "trained") for record in records])
    tracker.flush()


def store(root: Path) -> tuple[MlflowClient, str]:
    """Return a client for a project's store, and MLflow's id of the experiment digits-mlp."""
    client = MlflowClient(store_uri(root))
    experiment = client.get_experiment_by_name("digits-mlp")
    assert experiment is not None
    return client, experiment.experiment_id


def only(root: Path, record: Record) -> MlflowRun:
    """Return the run in the store that belongs to a record, whatever its status; fail unless there is exactly one."""
    client, experiment = store(root)
    query = f"attributes.run_name = '{record.run.name}' and tags.fingerprint = '{record.fingerprint}'"
    (run,) = client.search_runs([experiment], query)
    return run


def steps(root: Path, record: Record) -> list[int]:
    """Return the numbers of the epochs that were logged for a run."""
    client, _ = store(root)
    return sorted(metric.step for metric in client.get_metric_history(only(root, record).info.run_id, "lr"))


def log_results(tracker: Tracker, sweep: TrackedSweep, scored: Sequence[tuple[Record, Figures]], data: Path) -> str:
    """Log an evaluated sweep, whose report consists of empty files; return the kind of answer."""
    report = sweep.root / "report"
    for name in results_folder.WRITTEN:
        (report / name).parent.mkdir(exist_ok=True)
        (report / name).touch()
    findings = results_folder.find(sweep.params, sweep.data, scored)
    evaluated = {record.run.name: Evaluation(score, []) for record, score in scored}
    tracker.log_results([record for record, _ in scored], evaluated, findings, report, data)
    return findings.answer.kind
