"""However a sweep ends, the runs that are finished by then are in the store."""

import shutil
from pathlib import Path

import pytest

from pipeline.comparison.groups import best_runs
from pipeline.data import Summary
from pipeline.records import Score
from pipeline.sweep.jobs import Evaluation
from pipeline.sweep.jobs import Trained as Done
from pipeline.tracking.session import log_as_they_end, log_evaluations
from pipeline.tracking.store import Store
from tests.conftest import FOREIGN
from tests.tracking.conftest import TIMING, Trained, fail, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def open_store(root: Path, summary: Summary) -> Store:
    return Store(root, "digits-mlp", wanted().run_task, summary, fail)


def names(store: Store) -> list[str | None]:
    return sorted(run.info.run_name or "" for run in store.client.search_runs([store.experiment]))


def test_a_sweep_that_is_broken_off_logs_what_is_finished(
    root: Path, summary: Summary, trained: Trained, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for record in (trained.record, trained.other):
        shutil.copytree(trained.folder(record), models / record.run.name)
    store, stopped = open_store(root, summary), list[bool]()
    with (
        pytest.raises(KeyboardInterrupt),
        log_as_they_end(store, models, lambda: stopped.append(True)) as log,
    ):
        log(Done(trained.record, TIMING, "trained"))
        assert names(store) == [trained.record.run.name]
        raise KeyboardInterrupt
    assert stopped == [True]
    assert names(store) == sorted(record.run.name for record in (trained.record, trained.other))


def test_evaluations_and_the_best_run_of_each_group_are_logged(
    root: Path, digits: Path, summary: Summary, trained: Trained
) -> None:
    store = open_store(root, summary)
    evaluated = {record.run.name: Evaluation(Score(0.25, 0.75), []) for record in trained.records}
    log_evaluations(store, trained.records, evaluated, best_runs(trained.records), trained.models, digits)
    for run in store.client.search_runs([store.experiment]):
        assert run.data.metrics["test/accuracy"] == 0.75
    published = store.client.search_logged_models([store.experiment])
    assert len(published) == len({record.run.group for record in trained.records})
