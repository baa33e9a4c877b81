"""The verdict of a sweep and the mean curves of its groups, as runs of their own."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from mlflow.entities import Run

from pipeline.comparison.groups import grouped, sweep
from pipeline.datasets import Summary
from pipeline.runs.records import Record, Score
from pipeline.tracking import charts
from pipeline.tracking.comparison import Verdict
from pipeline.tracking.store import Store
from tests.helpers.project import FOREIGN, tracked
from tests.tracking.conftest import Trained, fail, open_store, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def verdict(words: str, fingerprint: str = "f", files: list[Path] | None = None) -> Verdict:
    return Verdict(words, fingerprint, {"better": 1, "difference/step": 0.25}, {"seeds": 3}, files or [])


def test_a_verdict_is_a_run_of_its_own(root: Path, summary: Summary) -> None:
    store, results = open_store(root, summary), root / "results"
    (results / "figures").mkdir(parents=True)
    for name in ("metrics.json", "report.html", "figures/differences.svg", "of_something_else.png"):
        (results / name).write_text("{}")
    files = [results / name for name in ("metrics.json", "report.html", "figures")]
    assert store.lacks_comparison("f")
    for _ in range(2):  # the same again is not logged again
        store.log_comparison(verdict("Use step, which gains most.", files=files))
    (run,) = tracked(store.uri, comparison=True)
    assert run.info.status == "FINISHED"
    assert run.data.tags["verdict"] == "Use step, which gains most."
    assert run.data.metrics == {"better": 1.0, "difference/step": 0.25}
    assert run.data.params == {"seeds": "3"}
    kept = {file.path for file in store.client.list_artifacts(run.info.run_id)}
    assert kept == {"metrics.json", "report.html", "figures"}
    assert not store.lacks_comparison("f")
    assert store.lacks_comparison("g")
    assert tracked(store.uri) == []


def test_the_note_ends_with_the_latest_verdict(root: Path, summary: Summary) -> None:
    store = open_store(root, summary)
    assert store.last_verdict() == ""
    store.log_comparison(verdict("Use step."))
    store.log_comparison(verdict("Use constant.\n\nMore."))  # what another version of the code says of the same runs
    (run,) = tracked(store.uri, comparison=True)
    assert run.data.tags["verdict"] == "Use constant.\n\nMore."
    assert store.last_verdict() == "Use constant."
    store.log_comparison(verdict("Keep constant.", "g"))
    assert len(tracked(store.uri, comparison=True)) == 2
    note = store.client.get_experiment(store.experiment).tags[charts.NOTE]
    assert note == f"{charts.note(wanted().run_task, summary)}\n\nKeep constant."


def seeds(record: Record, count: int) -> list[tuple[Record, Score]]:
    """A group: the same run with other losses, seed by seed."""
    found = []
    for seed in range(count):
        epochs = [replace(epoch, val_loss=epoch.val_loss + seed) for epoch in record.epochs]
        run = record.run.with_seed(seed)
        found.append((replace(record, run=run, epochs=epochs, fingerprint=str(seed)), Score(1.0 + seed, 0.5)))
    return found


def groups_in(store: Store) -> dict[str, Run]:
    found = store.client.search_runs([store.experiment], "tags.kind = 'group'")
    return {run.info.run_name or "": run for run in found}


def test_each_group_is_one_line_with_all_of_its_seeds(root: Path, summary: Summary, trained: Trained) -> None:
    record = trained.record
    store = Store(root, "digits-mlp", wanted().run_task, summary, fail, sweep="abc")
    found = sweep(grouped([*seeds(record, 3), *seeds(trained.other, 1)]), is_auto=False)
    for _ in range(2):
        store.log_groups(found)
    runs = groups_in(store)
    assert set(runs) == {"sequential (3 seeds)", "step (1 seed)"}
    run = runs["sequential (3 seeds)"]
    assert run.data.tags["sweep"] == "abc"
    assert run.data.params["seeds"] == "3"
    assert run.data.metrics["test/loss"] == 2.0
    curve = store.client.get_metric_history(run.info.run_id, "val/loss")
    assert [metric.step for metric in curve] == [1, 2, 3]
    assert [metric.value for metric in curve] == [pytest.approx(epoch.val_loss + 1) for epoch in record.epochs]
    low, high = (run.data.metrics[f"val/loss/{end}"] for end in ("low", "high"))
    assert fmean((low, high)) == pytest.approx(record.last.val_loss + 1)
    assert high - low == pytest.approx(2.0)
    assert "val/loss/low" not in runs["step (1 seed)"].data.metrics  # one seed has no band
    view = store.client.get_experiment(store.experiment).tags["mlflow.sharedViewState.abc"]
    assert json.loads(view)["searchFilter"] == "tags.kind = 'group' and tags.sweep = 'abc'"


def test_another_sweep_has_lines_of_its_own(root: Path, summary: Summary, trained: Trained) -> None:
    """After an edit of the model, say: one view shows one sweep."""
    found = sweep(grouped(seeds(trained.record, 2)), is_auto=False)
    for name in ("abc", "def"):
        store = Store(root, "digits-mlp", wanted().run_task, summary, fail, sweep=name)
        store.log_groups(found)
    for name in ("abc", "def"):
        view = json.loads(store.client.get_experiment(store.experiment).tags[f"mlflow.sharedViewState.{name}"])
        (run,) = store.client.search_runs([store.experiment], view["searchFilter"])
        assert run.data.tags["sweep"] == name
