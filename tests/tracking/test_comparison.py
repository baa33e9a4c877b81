"""The verdict of a sweep and the mean curves of its groups, as runs of their own."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from mlflow.entities import Run

from pipeline.comparison.groups import grouped
from pipeline.comparison.groups import sweep as compared
from pipeline.runs.records import Record, Score
from pipeline.tracking import charts
from pipeline.tracking.client import store_uri
from pipeline.tracking.comparison import SummaryRun
from pipeline.tracking.experiment import Experiment, TrackedSweep
from tests.conftest import FOREIGN, tracked
from tests.tracking.conftest import Trained, open_experiment, wanted

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def verdict(words: str, fingerprint: str = "f", files: list[Path] | None = None) -> SummaryRun:
    tags = {"kind": "comparison", "fingerprint": fingerprint, "verdict": words}
    return SummaryRun("comparison", tags, {"seeds": 3}, [("better", 1, 0), ("difference/step", 0.25, 0)], files or [])


def test_a_verdict_is_a_run_of_its_own(root: Path, experiment: Experiment) -> None:
    results = root / "results"
    (results / "figures").mkdir(parents=True)
    for name in ("metrics.json", "report.html", "figures/differences.svg", "of_something_else.png"):
        (results / name).write_text("{}")
    files = [results / name for name in ("metrics.json", "report.html", "figures")]
    assert not experiment.has_comparison("f")
    for _ in range(2):  # the same again is not logged again
        experiment.log_comparison(verdict("Use step, which gains most.", files=files))
    (run,) = tracked(store_uri(root), comparison=True)
    assert run.info.status == "FINISHED"
    assert run.data.tags["verdict"] == "Use step, which gains most."
    assert run.data.metrics == {"better": 1.0, "difference/step": 0.25}
    assert run.data.params == {"seeds": "3"}
    kept = {file.path for file in experiment.client.list_artifacts(run.info.run_id)}
    assert kept == {"metrics.json", "report.html", "figures"}
    assert experiment.has_comparison("f")
    assert not experiment.has_comparison("g")
    assert tracked(store_uri(root)) == []


def test_the_note_ends_with_the_latest_verdict(sweep: TrackedSweep, experiment: Experiment) -> None:
    uri = store_uri(sweep.root)
    assert experiment.last_verdict() == ""
    experiment.log_comparison(verdict("Use step."))
    changed = replace(verdict("Use constant.\n\nMore."), figures=[("better", 2, 0)])
    experiment.log_comparison(changed)  # the words of another version of the code on the same runs
    (run,) = tracked(uri, comparison=True)
    assert run.data.tags["verdict"] == "Use constant.\n\nMore."
    assert run.data.metrics["better"] == 2
    assert experiment.last_verdict() == "Use constant."
    experiment.log_comparison(verdict("Keep constant.", "g"))
    assert len(tracked(uri, comparison=True)) == 2
    for opened in (experiment, open_experiment(sweep)):  # to open it leaves the verdict
        note = opened.client.get_experiment(opened.id).tags[charts.NOTE]
        assert note == f"{charts.note(wanted().run_task, sweep.data)}\n\nKeep constant."


def seeds(record: Record, count: int) -> list[tuple[Record, Score]]:
    """A group: the same run with other losses, seed by seed."""
    results = []
    for seed in range(count):
        epochs = [replace(epoch, val_loss=epoch.val_loss + seed) for epoch in record.epochs]
        run = record.run.with_seed(seed)
        results.append((replace(record, run=run, epochs=epochs, fingerprint=str(seed)), Score(1.0 + seed, 0.5)))
    return results


def groups_in(experiment: Experiment) -> dict[str, Run]:
    runs = experiment.client.search_runs([experiment.id], "tags.kind = 'group'")
    return {run.info.run_name or "": run for run in runs}


def test_each_group_is_one_line_with_all_of_its_seeds(sweep: TrackedSweep, trained: Trained) -> None:
    record = trained.record
    experiment = open_experiment(replace(sweep, fingerprint="abc"))
    groups = compared(grouped([*seeds(record, 3), *seeds(trained.other, 1)]), is_auto=False)
    for _ in range(2):
        experiment.log_groups(groups)
    runs = groups_in(experiment)
    assert set(runs) == {"sequential (3 seeds)", "step (1 seed)"}
    run = runs["sequential (3 seeds)"]
    assert run.data.tags["sweep"] == "abc"
    assert run.data.params["seeds"] == "3"
    assert (run.data.metrics["test/loss"], run.data.metrics["test/accuracy"]) == (2.0, 0.5)
    curve = experiment.client.get_metric_history(run.info.run_id, "val/loss")
    assert [metric.step for metric in curve] == [1, 2, 3]
    assert [metric.value for metric in curve] == [pytest.approx(epoch.val_loss + 1) for epoch in record.epochs]
    low, high = (run.data.metrics[f"val/loss/{end}"] for end in ("low", "high"))
    assert fmean((low, high)) == pytest.approx(record.last.val_loss + 1)
    assert high - low == pytest.approx(2.0)
    assert "val/loss/low" not in runs["step (1 seed)"].data.metrics  # one seed has no band
    view = experiment.client.get_experiment(experiment.id).tags["mlflow.sharedViewState.abc"]
    assert json.loads(view)["searchFilter"] == "tags.kind = 'group' and tags.sweep = 'abc'"


def test_another_sweep_has_lines_of_its_own(sweep: TrackedSweep, trained: Trained) -> None:
    """After an edit of the model, say: one view shows one sweep."""
    groups = compared(grouped(seeds(trained.record, 2)), is_auto=False)
    for name in ("abc", "def"):
        experiment = open_experiment(replace(sweep, fingerprint=name))
        experiment.log_groups(groups)
    for name in ("abc", "def"):
        view = json.loads(experiment.client.get_experiment(experiment.id).tags[f"mlflow.sharedViewState.{name}"])
        (run,) = experiment.client.search_runs([experiment.id], view["searchFilter"])
        assert run.data.tags["sweep"] == name
