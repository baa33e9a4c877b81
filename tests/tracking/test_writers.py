"""The runs in a store are read once; they are searched again only if another process may have logged some."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.runs.metric import network_figures
from pipeline.tracking import bulk, writers
from pipeline.tracking.experiment import Experiment, TrackedSweep
from tests.helpers.project import FOREIGN
from tests.tracking.conftest import (
    Trained,
    finish,
    log,
    log_results,
    only,
    open_experiment,
    open_tracker,
    store,
    wanted,
)

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def searches(experiment: Experiment, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which the filter of every later search is added."""
    filters: list[str] = []
    search = experiment.client.search_runs

    def noted(experiments: list[str], filter_string: str = "", **options: Any) -> Any:
        filters.append(filter_string)
        return search(experiments, filter_string, **options)

    monkeypatch.setattr(experiment.client, "search_runs", noted)
    return filters


def test_a_sweep_is_one_search(sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = open_experiment(sweep)
    filters = searches(experiment, monkeypatch)
    for record in [*trained.records, *trained.records]:
        log(experiment, record)
        open_experiment(sweep)  # opening the experiment logs nothing
    assert filters == [""]
    assert len(experiment.client.search_runs([experiment.id])) == 3


def test_few_runs_in_a_large_store_are_searched_one_by_one(
    sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = open_experiment(replace(sweep, params=wanted(scheduler="step")))
    for number in range(5):
        experiment.client.create_run(experiment.id, run_name=f"other {number}")
    filters = searches(experiment, monkeypatch)
    for record in [*trained.records, *trained.records]:
        log(experiment, record)
    assert filters == ["", *(f"tags.fingerprint = '{record.fingerprint}'" for record in trained.records)]


def test_a_run_that_another_process_has_logged_is_not_logged_twice(sweep: TrackedSweep, trained: Trained) -> None:
    ours, theirs = open_experiment(sweep), open_experiment(sweep)
    for first, second in [(ours, theirs), (theirs, ours)]:
        for record in trained.records:
            log(first, record)
            log(second, record)
    for record in trained.records:
        assert only(sweep.root, record).info.status == "FINISHED"


def test_of_two_copies_in_a_shared_store_all_projects_choose_the_same(
    tmp_path: Path,
    empty_store: Path,
    digits: Path,
    sweep: TrackedSweep,
    trained: Trained,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The project that comes later deletes a copy; a project that knew this copy continues with the other copy."""
    shutil.copy(empty_store, tmp_path / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    monkeypatch.setattr(bulk, "is_known", lambda uri: False)
    record = trained.record
    sweeps = [replace(sweep, root=tmp_path / name) for name in ("ours", "theirs")]
    for each in sweeps:
        each.root.mkdir()
    first, second = map(open_tracker, sweeps)
    finish(first, record)
    with monkeypatch.context() as patch:  # as if the second project had searched before the first logged
        patch.setattr(writers, "find_runs", lambda *_: [])
        finish(second, record)
    client, experiment = store(tmp_path)
    assert len(client.search_runs([experiment])) == 2
    finish(open_tracker(sweeps[1]), record)
    left = only(tmp_path, record).info.run_id
    for tracker, of in zip((first, second), sweeps, strict=True):
        log_results(tracker, of, [(record, network_figures(0.5, 0.75))], digits)
    run = only(tmp_path, record)
    assert run.info.run_id == left
    assert run.data.metrics["test/accuracy"] == 0.75
