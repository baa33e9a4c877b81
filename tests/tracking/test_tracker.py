"""Runs can be seen during training, finished runs are logged however a sweep ends, and the store may fail."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient

from pipeline.errors import ExternalError
from pipeline.runs.records import Record
from pipeline.sweep.jobs import Trained as Done
from pipeline.sweep.run_progress import RunProgress
from pipeline.tracking import bulk, outage
from pipeline.tracking.experiment import Experiment, TrackedSweep
from tests.helpers.project import FOREIGN, ROOT
from tests.tracking.conftest import TIMING, Trained, finish, only, open_tracker, steps, store

pytestmark = pytest.mark.filterwarnings(*FOREIGN)


def names(root: Path) -> list[str]:
    client, experiment = store(root)
    return sorted(run.info.run_name or "" for run in client.search_runs([experiment]))


def report(record: Record, *epochs: int, done: float = 1.0) -> RunProgress:
    return RunProgress(
        record.run.name, record.fingerprint, TIMING.started, done, [record.epochs[n - 1] for n in epochs]
    )


def test_an_interrupted_sweep_logs_its_finished_runs(
    root: Path, sweep: TrackedSweep, trained: Trained, tmp_path: Path
) -> None:
    models = tmp_path / "models"
    for record in (trained.record, trained.other):
        shutil.copytree(trained.folder(record), models / record.run.name)
    tracker, stopped = open_tracker(replace(sweep, models=models)), list[bool]()
    with pytest.raises(KeyboardInterrupt), tracker.training(lambda: stopped.append(True), every=5):
        tracker.finish([Done(trained.record, TIMING, "trained")])
        assert names(root) == [trained.record.run.name]
        raise KeyboardInterrupt
    assert stopped == [True]
    assert names(root) == sorted(record.run.name for record in (trained.record, trained.other))


def test_a_run_is_visible_during_training(root: Path, sweep: TrackedSweep, trained: Trained) -> None:
    """Epochs are logged every five seconds; when the run ends, the missing epochs are added."""
    record, now = trained.record, [0.0]
    tracker, runs = open_tracker(sweep, clock=lambda: TIMING.started + now[0]), {record.run.name: record.run}
    with tracker.training(lambda: None, every=5):
        tracker.update(runs, [report(record, done=0.5)])
        now[0] = 4.9
        tracker.update(runs, [report(record, 1)])
        assert names(root) == []
        now[0] = 5.0
        tracker.update(runs, [])
        begun = only(root, record)
        assert begun.info.status == "RUNNING"
        assert begun.data.params["seed"] == "0"
        assert begun.data.tags["scheduler"] == record.run.scheduler
        assert begun.data.metrics["val/loss"] == record.epochs[0].val_loss
        now[0] = 6.0
        tracker.update(runs, [report(record, 2)])
        assert steps(root, record) == [1]
        now[0] = 10.0
        tracker.update(runs, [])
        assert steps(root, record) == [1, 2]
        tracker.finish([Done(record, TIMING, "trained")])
        assert steps(root, record) == [1, 2, 3]
        assert only(root, record).info.status == "FINISHED"
        tracker.update(runs, [report(record, 3)])  # a late report about a run that has ended
        now[0] = 20.0
        tracker.update(runs, [])
    assert steps(root, record) == [1, 2, 3]
    assert only(root, record).info.status == "FINISHED"


def test_a_short_run_is_logged_only_at_its_end(
    root: Path, sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Experiment, "update", pytest.fail)
    tracker = open_tracker(sweep, clock=lambda: TIMING.started)
    with tracker.training(lambda: None, every=5):
        tracker.update({trained.record.run.name: trained.record.run}, [report(trained.record, 1)])
        tracker.finish([Done(trained.record, TIMING, "trained")])
        tracker.update({}, [])
    assert steps(root, trained.record) == [1, 2, 3]


def test_a_resumed_run_continues_in_mlflow(root: Path, sweep: TrackedSweep, trained: Trained) -> None:
    """The first report after a resume has all epochs up to the checkpoint; the store may have more epochs or fewer."""
    record, runs = trained.record, {trained.record.run.name: trained.record.run}
    tracker = open_tracker(replace(sweep, models=root / "nothing"))
    with pytest.raises(KeyboardInterrupt), tracker.training(lambda: None, every=0):
        tracker.update(runs, [report(record, 1, 2, done=2.0)])
        raise KeyboardInterrupt
    killed = only(root, record).info
    assert (killed.status, steps(root, record)) == ("KILLED", [1, 2])
    tracker = open_tracker(sweep)
    with tracker.training(lambda: None, every=0):
        tracker.update(runs, [report(record, 1, done=1.0)])
        assert only(root, record).info.status == "RUNNING"
        tracker.update(runs, [report(record, 2, done=2.0)])
        tracker.finish([Done(record, TIMING, "resumed")])
    again = only(root, record).info
    assert (again.run_id, again.status) == (killed.run_id, "FINISHED")
    assert steps(root, record) == [1, 2, 3]


def test_two_processes_that_train_the_same_run_log_it_once(root: Path, sweep: TrackedSweep, trained: Trained) -> None:
    record, runs = trained.record, {trained.record.run.name: trained.record.run}
    one, two = open_tracker(sweep), open_tracker(sweep)
    one.update(runs, [report(record, 1)])
    two.update(runs, [report(record, 1)])
    two.update(runs, [report(record, 2)])
    assert steps(root, record) == [1]
    finish(two, record)
    one.update(runs, [report(record, 2)])
    finish(one, record)
    assert steps(root, record) == [1, 2, 3]
    assert only(root, record).info.status == "FINISHED"


def test_only_unfinished_runs_of_an_interrupted_sweep_are_marked_as_killed(
    root: Path, sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store may be shared, so the tracker reads each run again before it writes."""
    (root / "mlflow.db").rename(root / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/shared.db")
    first, second = trained.record, trained.other
    shutil.copytree(trained.folder(first), root / "models" / first.run.name)
    tracker = open_tracker(replace(sweep, models=root / "models"))
    with pytest.raises(KeyboardInterrupt), tracker.training(lambda: None, every=0):
        runs = {record.run.name: record.run for record in (first, second)}
        tracker.update(runs, [report(first, 1), report(second, 1)])
        finish(tracker, first)
        raise KeyboardInterrupt
    assert [only(root, record).info.status for record in (first, second)] == ["FINISHED", "KILLED"]


def test_a_store_that_recovers_gets_the_missing_runs(
    root: Path, sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outage, "PAUSE", 0.0)
    monkeypatch.setattr(outage, "SHARE", 1e9)
    lines: list[str] = []
    tracker = open_tracker(sweep, lines.append)
    first, second, third = trained.records
    finish(tracker, first)
    (root / "mlflow.db").rename(root / "away")
    finish(tracker, second)
    assert tracker.outage.lasts
    (root / "away").replace(root / "mlflow.db")
    finish(tracker, third)
    for record in trained.records:
        assert only(root, record).info.status == "FINISHED"
        assert steps(root, record) == [epoch.epoch for epoch in record.epochs]
    assert len(lines) == 2
    assert lines[1].endswith("is back")


def test_a_store_that_fails_later_is_reported_once(root: Path, sweep: TrackedSweep, trained: Trained) -> None:
    lines: list[str] = []
    tracker = open_tracker(sweep, lines.append)
    (root / "mlflow.db").unlink()
    for record in trained.records:
        finish(tracker, record)
    assert tracker.outage.lasts
    (line,) = lines
    assert "`uv run pipeline track` then logs what is missing" in line
    assert "\n" not in line
    with pytest.raises(ExternalError, match="try again when the store is back"):
        tracker.lacking(trained.records)
    assert tracker.last_verdict() == ""


def test_files_that_cannot_be_written_are_a_failure_of_the_store(
    root: Path, sweep: TrackedSweep, trained: Trained
) -> None:
    lines: list[str] = []
    tracker = open_tracker(sweep, lines.append)
    (root / "mlartifacts").write_text("in the way")
    finish(tracker, trained.record)
    assert tracker.outage.lasts
    assert len(lines) == 1
    assert names(root) == []


@pytest.mark.parametrize("is_known", [True, False], ids=["bulk", "client"])
def test_a_bug_does_not_count_as_a_failure_of_the_store(
    sweep: TrackedSweep, trained: Trained, monkeypatch: pytest.MonkeyPatch, is_known: bool
) -> None:
    monkeypatch.setattr(bulk, "is_known", lambda uri: is_known)
    tracker = open_tracker(sweep)
    broken = replace(trained.record, epochs=None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'NoneType' object"):
        finish(tracker, broken)
    assert not tracker.outage.lasts


@pytest.mark.slow
def test_two_processes_create_one_store_together(tmp_path: Path, digits: Path) -> None:
    """Both processes are forks of a process that has imported MLflow, so they start at the same moment."""
    script = (
        "import json, os, sys, traceback\n"
        "from pathlib import Path\n"
        "from pipeline import datasets; from pipeline.runs import params\n"
        "from pipeline.tracking.experiment import TrackedSweep; from pipeline.tracking.tracker import Tracker\n"
        "root, digits = map(Path, sys.argv[1:])\n"
        "sweep = TrackedSweep(root, params.load(), datasets.summary(digits), root / 'models')\n"
        "def create():\n"
        "    try: Tracker(sweep, sys.exit)\n"
        "    except BaseException: traceback.print_exc(); os._exit(1)\n"
        "    os._exit(0)\n"
        "children = [os.fork() or create() for _ in range(2)]\n"
        "print(json.dumps([os.waitpid(child, 0)[1] for child in children]))\n"
    )
    (tmp_path / "root").mkdir()
    command = [sys.executable, "-c", script, str(tmp_path / "root"), str(digits)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert json.loads(done.stdout) == [0, 0], done.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/root/mlflow.db")
    assert [each.name for each in client.search_experiments()] == ["digits-mlp", "Default"]
