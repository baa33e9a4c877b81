"""A store that does not answer is tried again, and then has what it lacks."""

from pathlib import Path

import pytest

from pipeline.datasets import Summary
from pipeline.tracking import outage
from pipeline.tracking.outage import Outage
from tests.helpers.project import FOREIGN
from tests.tracking.conftest import TIMING, Trained, only, open_store

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def test_the_longer_a_try_takes_the_later_is_the_next() -> None:
    lines, now, seconds = list[str](), [0.0], [10.0]

    def clock() -> float:
        return now[0]

    found = Outage("there", lines.append, clock)

    def is_tried(at: float) -> bool:
        now[0] = at
        return found.is_worth_a_try

    def fail(reason: str) -> None:
        with found.attempt():
            now[0] += seconds.pop() if seconds else 0
            raise ConnectionError(reason)

    assert is_tried(0)
    fail("refused")  # after ten seconds, which may be a tenth of the time
    assert [found.lasts] == [True]
    assert [is_tried(at) for at in (10, 109, 110)] == [False, False, True]
    fail("again")  # at once
    assert [is_tried(at) for at in (110, 139, 140)] == [False, False, True]
    with found.attempt():
        pass
    assert not found.lasts
    assert [line.partition(";")[0] for line in lines] == [
        "MLflow: the store there failed (refused)",
        "MLflow: the store there is back",
    ]


def test_a_store_that_is_back_gets_what_it_lacks(
    root: Path, summary: Summary, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "PAUSE", 0.0)
    monkeypatch.setattr(outage, "SHARE", 1e9)
    lines: list[str] = []
    store = open_store(root, summary, lines.append)
    first, second, third = trained.records
    store.log([(first, trained.folder(first), TIMING)])
    (root / "mlflow.db").rename(root / "away")
    store.log([(second, trained.folder(second), TIMING)])
    assert store.outage.lasts
    (root / "away").replace(root / "mlflow.db")
    store.log([(third, trained.folder(third), TIMING)])
    for record in trained.records:
        run = only(store, record)
        assert run.info.status == "FINISHED"
        steps = [metric.step for metric in store.client.get_metric_history(run.info.run_id, "lr")]
        assert steps == [epoch.epoch for epoch in record.epochs]
    assert len(lines) == 2
    assert lines[1].endswith("is back")
