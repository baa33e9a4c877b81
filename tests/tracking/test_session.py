"""Runs are seen while they are trained, and however a sweep ends, what is finished is in the store."""

import shutil
from pathlib import Path

import pytest

from pipeline.datasets import Summary
from pipeline.runs.records import Record
from pipeline.sweep.jobs import Trained as Done
from pipeline.sweep.news import News
from pipeline.tracking.session import Session, tracked
from pipeline.tracking.store import Store
from tests.helpers.project import FOREIGN
from tests.tracking.conftest import TIMING, Trained, fail, only, wanted

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
        tracked(store, models, lambda: stopped.append(True), every=5) as session,
    ):
        session.log([Done(trained.record, TIMING, "trained")])
        assert names(store) == [trained.record.run.name]
        raise KeyboardInterrupt
    assert stopped == [True]
    assert names(store) == sorted(record.run.name for record in (trained.record, trained.other))


def news(record: Record, *epochs: int, done: float = 1.0) -> News:
    return News(record.run.name, record.fingerprint, TIMING.started, done, [record.epochs[n - 1] for n in epochs])


def steps(store: Store, record: Record) -> list[int]:
    run = only(store, record)
    return sorted(metric.step for metric in store.client.get_metric_history(run.info.run_id, "lr"))


def test_a_run_is_seen_while_it_is_trained(root: Path, summary: Summary, trained: Trained) -> None:
    """Every five seconds; the end adds what is missing."""
    record, now = trained.record, [0.0]
    store, runs = open_store(root, summary), {trained.record.run.name: trained.record.run}
    session = Session(store, trained.models, every=5, clock=lambda: now[0])
    session.tell(runs, [news(record, done=0.5)])
    now[0] = 4.9
    session.tell(runs, [news(record, 1)])
    assert names(store) == []
    now[0] = 5.0
    session.tell(runs, [])
    begun = only(store, record)
    assert begun.info.status == "RUNNING"
    assert begun.data.params["seed"] == "0"
    assert begun.data.tags["scheduler"] == record.run.scheduler
    assert begun.data.metrics["val/loss"] == record.epochs[0].val_loss
    now[0] = 6.0
    session.tell(runs, [news(record, 2)])
    assert steps(store, record) == [1]
    now[0] = 10.0
    session.tell(runs, [])
    assert steps(store, record) == [1, 2]
    session.log([Done(record, TIMING, "trained")])
    assert steps(store, record) == [1, 2, 3]
    assert only(store, record).info.status == "FINISHED"
    session.tell(runs, [news(record, 3)])  # late news of a run that has ended
    now[0] = 20.0
    session.tell(runs, [])
    assert steps(store, record) == [1, 2, 3]
    assert only(store, record).info.status == "FINISHED"


def test_what_ends_soon_is_logged_in_one_go(
    root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(root, summary)
    monkeypatch.setattr(store, "log_live", pytest.fail)
    session, runs = Session(store, trained.models, every=5), {trained.record.run.name: trained.record.run}
    session.tell(runs, [news(trained.record, 1)])
    session.log([Done(trained.record, TIMING, "trained")])
    session.tell({}, [])
    assert steps(store, trained.record) == [1, 2, 3]


def test_a_resumed_run_goes_on_where_it_was(root: Path, summary: Summary, trained: Trained) -> None:
    """Its news begin with all that the checkpoint has; the store may have more, or less."""
    record, runs = trained.record, {trained.record.run.name: trained.record.run}
    with (
        pytest.raises(KeyboardInterrupt),
        tracked(open_store(root, summary), root / "nothing", lambda: None, every=0) as session,
    ):
        session.tell(runs, [news(record, 1, 2, done=2.0)])
        raise KeyboardInterrupt
    store = open_store(root, summary)
    killed = only(store, record).info
    assert (killed.status, steps(store, record)) == ("KILLED", [1, 2])
    with tracked(store, trained.models, lambda: None, every=0) as session:
        session.tell(runs, [news(record, 1, done=1.0)])
        assert only(store, record).info.status == "RUNNING"
        session.tell(runs, [news(record, 2, done=2.0)])
        session.log([Done(record, TIMING, "resumed")])
    again = only(store, record).info
    assert (again.run_id, again.status) == (killed.run_id, "FINISHED")
    assert steps(store, record) == [1, 2, 3]


def test_two_processes_that_train_the_same_run_log_it_once(root: Path, summary: Summary, trained: Trained) -> None:
    record, runs = trained.record, {trained.record.run.name: trained.record.run}
    ours, theirs = open_store(root, summary), open_store(root, summary)
    one, two = (Session(store, trained.models, every=0) for store in (ours, theirs))
    one.tell(runs, [news(record, 1)])
    two.tell(runs, [news(record, 1)])
    two.tell(runs, [news(record, 2)])
    assert steps(ours, record) == [1]
    two.log([Done(record, TIMING, "trained")])
    one.tell(runs, [news(record, 2)])
    one.log([Done(record, TIMING, "trained")])
    assert steps(ours, record) == [1, 2, 3]
    assert only(ours, record).info.status == "FINISHED"
