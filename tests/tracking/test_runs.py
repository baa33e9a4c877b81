"""What the store has is read once, and looked up again where another process has logged."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.datasets import Summary
from pipeline.runs.records import Score
from pipeline.tracking import runs
from pipeline.tracking.bulk import Database
from pipeline.tracking.store import Store
from tests.helpers.project import FOREIGN
from tests.tracking.conftest import TIMING, Trained, fail, only, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def open_store(root: Path, summary: Summary, runs: int) -> Store:
    return Store(root, "digits-mlp", wanted().run_task, summary, fail, wanted=runs)


def searches(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The filters of the searches from now on."""
    asked: list[str] = []
    search = store.client.search_runs

    def noted(experiments: list[str], filter_string: str = "", **options: Any) -> Any:
        asked.append(filter_string)
        return search(experiments, filter_string, **options)

    monkeypatch.setattr(store.client, "search_runs", noted)
    return asked


def test_a_sweep_is_one_search(root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(root, summary, 3)
    asked = searches(store, monkeypatch)
    for record in [*trained.records, *trained.records]:
        store.log([(record, trained.folder(record), TIMING)])
        assert not open_store(root, summary, 1).outage.lasts  # to open the store is not to log
    assert asked == [""]
    assert len(store.client.search_runs([store.experiment])) == 3


def test_few_runs_in_a_large_store_are_searched_for(
    root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(root, summary, 1)
    for number in range(5):
        store.client.create_run(store.experiment, run_name=f"other {number}")
    asked = searches(store, monkeypatch)
    for record in [*trained.records, *trained.records]:
        store.log([(record, trained.folder(record), TIMING)])
    assert asked == ["", *(f"tags.fingerprint = '{record.fingerprint}'" for record in trained.records)]


def test_what_another_process_logs_meanwhile_is_not_logged_twice(
    root: Path, summary: Summary, trained: Trained
) -> None:
    ours, theirs = open_store(root, summary, 3), open_store(root, summary, 3)
    for first, second in [(ours, theirs), (theirs, ours)]:
        for record in trained.records:
            first.log([(record, trained.folder(record), TIMING)])
            second.log([(record, trained.folder(record), TIMING)])
    for record in trained.records:
        assert only(ours, record).info.status == "FINISHED"


def test_of_two_copies_in_a_shared_store_all_choose_the_same(
    tmp_path: Path, empty_store: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes last deletes the other, and who was about to use that goes on with the one that stays."""
    shutil.copy(empty_store, tmp_path / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    monkeypatch.setattr(Database, "is_known", False)
    record, folder = trained.record, trained.folder(trained.record)
    stores = []
    for name in ("ours", "theirs"):
        (tmp_path / name).mkdir()
        stores.append(open_store(tmp_path / name, summary, 1))
    first, second = stores
    first.log([(record, folder, TIMING)])
    with monkeypatch.context() as patch:  # theirs has looked before ours was there
        patch.setattr(runs, "find_runs", lambda *_: [])
        second.log([(record, folder, TIMING)])
    assert len(first.client.search_runs([first.experiment])) == 2
    stays = open_store(tmp_path / "theirs", summary, 1)
    stays.log([(record, folder, TIMING)])
    left = only(first, record).info.run_id
    for store in stores:
        store.log_evaluation(record, folder, Score(0.5, 0.75), [])
    run = only(first, record)
    assert run.info.run_id == left
    assert run.data.metrics["test/accuracy"] == 0.75
