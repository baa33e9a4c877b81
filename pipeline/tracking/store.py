"""The MLflow experiment of a task: its runs, their evaluation and their comparison.

Only the parent process talks to MLflow; workers never import it.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Concatenate, ParamSpec

from filelock import FileLock

from pipeline.comparison.groups import SweepGroups
from pipeline.datasets import Summary
from pipeline.errors import ExternalError
from pipeline.runs import params
from pipeline.runs.metric import TEST_LOSS, Figures
from pipeline.runs.records import Record, Timing
from pipeline.runs.task import Task
from pipeline.sweep import lock
from pipeline.sweep.run_progress import RunProgress
from pipeline.tracking import git, models, registry
from pipeline.tracking.bulk import Database
from pipeline.tracking.charts import NOTE, experiment_tags, views
from pipeline.tracking.client import (
    CLASHES,
    COMPARISON,
    FINISHED,
    PROJECT,
    MlflowException,
    RunTag,
    connect,
    is_shared,
    root_cause,
    store_uri,
)
from pipeline.tracking.comparison import Verdict, log_group, log_verdict
from pipeline.tracking.entities import curve_figures, dataset_input, final_metrics, readable_figures, run_params
from pipeline.tracking.experiment import end_orphans, open_experiment
from pipeline.tracking.live import LiveRuns
from pipeline.tracking.outage import TRIES, Outage
from pipeline.tracking.run_log import EXPERIMENTS, SWEEPS, RunLog
from pipeline.tracking.runs import Logged, Runs
from pipeline.training.layer_statistics import Layer

Arguments = ParamSpec("Arguments")


def survives_store_failure(
    method: Callable[Concatenate["Store", Arguments], None],
) -> Callable[Concatenate["Store", Arguments], None]:
    """Warn once if the store fails, and leave it alone for a while: tracking must not cost a result."""

    @wraps(method)
    def attempt(self: "Store", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if self.outage.is_worth_a_try:
            opens = self.outage.lasts or not self.experiment  # what we remember of it may be wrong after a failure
            with self.outage.attempt(), self._lock:
                if opens:
                    self._open()
                for left in reversed(range(TRIES)):
                    try:
                        method(self, *args, **kwargs)
                        break
                    except MlflowException as error:
                        if left == 0 or not self._shared_by or error.error_code not in CLASHES:
                            raise
                        self._open()  # and go on with what there is now

    return attempt


class Store:
    """The MLflow experiment of one task.

    If the store fails in the middle of a sweep, ``warn`` is called once and the sweep goes on. It is tried again later.

    Args:
        root: the project's folder.
        name: of the task.
        task: what the experiment's note describes.
        data: the data set of the task.
        warn: called with one line when the store fails.
        timing: returns when a run was trained, for a run that is logged without a timing; None if nobody knows.
        wanted: about how many runs will be logged.
        sweep: the fingerprint of the sweep that they are part of.
        trains: True if this process trains the sweep of its folder.

    Raises:
        UserError: the store cannot be used, or the experiment is deleted.
    """

    def __init__(
        self,
        root: Path,
        name: str,
        task: Task,
        data: Summary,
        warn: Callable[[str], None],
        timing: Callable[[Record], Timing | None] = lambda record: None,
        wanted: int = 1,
        sweep: str = "",
        trains: bool = False,
    ) -> None:
        self.uri = store_uri(root)
        self.outage = Outage(self.uri, warn)
        self.experiment = ""
        self._root = root.resolve()
        self._project = f"{socket.gethostname()}:{self._root}"
        self._shared_by = self._project if is_shared(self.uri, self._root) else ""
        self._name, self.data = name, data
        self._timing, self._wanted = timing, wanted
        self._backlog: list[tuple[Record, Path, Timing | None]] = []
        self._sweep, self._trains = sweep, trains
        self._tags = experiment_tags(task, data)
        self._inputs = [dataset_input(data, split) for split in data.digests]
        # Processes that create one SQLite store together break it for good, and two would log the same run.
        self._lock = FileLock(root / ".cache" / "mlflow.lock")
        (root / ".cache").mkdir(exist_ok=True)
        with self._lock:
            self.client = connect(self.uri, name)
            with self.outage.attempt():
                self._open()

    def _open(self) -> None:
        experiment = open_experiment(self.client, self._name, self._root, self._tags)
        self.experiment = experiment.experiment_id
        turn = self._root / ".cache" / "mlflow.turn"
        self._runs = Runs(self.client, self.experiment, turn, self._wanted, self._shared_by)
        self._live = LiveRuns(self.client, self._runs, lock.session())
        database = Database(self.uri, self.experiment, experiment.artifact_location)
        tags = {
            PROJECT: self._project,
            EXPERIMENTS: os.environ.get("DVC_EXP_NAME", ""),
            SWEEPS: self._sweep,
            "mlflow.source.git.commit": git.commit(self._root),
            "mlflow.source.name": "pipeline",
        }
        self._log = RunLog(self.client, self._runs, self._live, database, self._timing, tags)
        end_orphans(self.client, self.experiment, self._project, self._is_alive)

    def _is_alive(self, session: str) -> bool:
        """Return True if a sweep of this project that another process trains has that tag."""
        if not session or (self._trains and session == lock.session()):
            return False
        return lock.is_training(self._root / ".cache", session)

    @survives_store_failure
    def log_live(self, news: Sequence[tuple[params.Run, RunProgress]]) -> None:
        """Log how far runs are that are being trained."""
        for run, each in news:
            self._live.log(run, each, self._log.tags(run, each.fingerprint))

    @survives_store_failure
    def end_live(self) -> None:
        """End the runs whose training was given up."""
        self._live.kill()

    def log(self, trained: Sequence[tuple[Record, Path, Timing | None]]) -> None:
        """Log trained runs: parameters, tags, curve and the verdict on it, and the files in a folder.

        A run that the store has is not logged again; its tags name this DVC experiment and this sweep, too.

        Args:
            trained: records, each with the folder of its files and its timing, if that is known.
        """
        self._backlog += trained
        self._log_backlog()

    @survives_store_failure
    def _log_backlog(self) -> None:
        self._log.all(self._backlog)
        self._backlog.clear()

    @survives_store_failure
    def log_failure(self, run: params.Run, fingerprint: str, reason: str) -> None:
        """Log a run that could not be trained as FAILED; ``reason`` is one line."""
        now = round(time.time() * 1000)
        tags = self._log.tags(run, fingerprint) | {"outcome": f"failed: {reason}"}
        found = self._runs.find(run.name, fingerprint)
        if found is not None and found.status == FINISHED:
            return  # an earlier sweep trained it
        with self._runs.logging(found, run.name, now, now, tags, "FAILED") as logged:
            self.client.log_batch(logged.run_id, params=run_params(run))

    @survives_store_failure
    def log_evaluation(self, record: Record, folder: Path, test_figures: Figures, layers: Sequence[Layer]) -> None:
        """Add a run's evaluation: test figures, layers, and the data set (in one call, as each costs).

        Args:
            record: the run; it is logged first if the store does not have it.
            folder: the run's files.
            test_figures: on the test set.
            layers: before and after training.
        """
        run = self._log.ensure(record, folder)
        figures, tags = curve_figures(record)
        figures |= {name.replace("_", "/", 1): figure for name, figure in test_figures.items()}
        figures |= readable_figures(self.data.units, [test_figures[TEST_LOSS.name]])
        metrics = [
            metric
            for metric in final_metrics(figures, round(time.time() * 1000))
            if repr(run.metrics.get(metric.key)) != repr(metric.value)  # nan equals nan
        ]
        if not metrics:
            return
        self.client.log_inputs(run.run_id, self._inputs)
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "parameters.json"
            file.write_text(json.dumps({"layers": [asdict(layer) for layer in layers]}, indent=2), encoding="utf-8")
            self._runs.add_files(run, file)
        changed = [RunTag(*tag) for tag in tags.items() if tag not in run.tags.items()]
        self.client.log_batch(run.run_id, metrics, tags=changed)
        run.metrics |= {metric.key: metric.value for metric in metrics}

    @survives_store_failure
    def log_groups(self, sweep: SweepGroups) -> None:
        """Log the mean curve of each group of a sweep, and charts of them."""
        own = {group.name for group in sweep.arms}
        for group in sweep.groups:
            log_group(self.client, self._runs, group, self._sweep_tags(), group.name in own, self.data.units)
        for tag, view in views(self._sweep, len(sweep.groups)).items():
            self.client.set_experiment_tag(self.experiment, tag, view)

    @survives_store_failure
    def log_comparison(self, verdict: Verdict) -> None:
        """Log a sweep's verdict, and append it to the experiment's note."""
        log_verdict(self.client, self._runs, verdict, self._sweep_tags())
        self.client.set_experiment_tag(self.experiment, NOTE, f"{self._tags[NOTE]}\n\n{verdict.words}")

    def last_verdict(self) -> str:
        """Return the first line of the last verdict on the task; empty if there is none."""
        if self.outage.lasts:
            return ""
        query, order = f"attributes.run_name = '{COMPARISON}'", ["start_time DESC"]
        found = self.client.search_runs([self.experiment], query, order_by=order, max_results=1)
        return found[0].data.tags.get("verdict", "").partition("\n")[0] if found else ""

    @survives_store_failure
    def promote(self, record: Record, folder: Path, tags: Mapping[str, str], is_free: bool = True) -> None:
        """Make the published model of a run the champion of the task.

        Args:
            record: the run.
            folder: its files.
            tags: that say why.
            is_free: False: only if there is no champion.
        """
        run = self._log.ensure(record, folder)
        if model_id := models.published(self.client, self.experiment, run.run_id):
            tags = {**tags, "sweep": self._sweep}
            registry.promote(self.client, self._name, run.run_id, model_id, tags, is_free)

    @survives_store_failure
    def publish(self, record: Record, folder: Path, data: Path) -> None:
        """Add a model that MLflow can load and serve to a run; see `pipeline.tracking.models`.

        Args:
            record: the run; it is logged first if the store does not have it.
            folder: the run's files.
            data: the folder of the prepared data.
        """
        run = self._log.ensure(record, folder)
        models.publish(self.client, self.experiment, run.run_id, record, folder, data, self.data)

    def lacks(self, record: Record) -> bool:
        """Return True if the store does not have the run or its test figures.

        Raises:
            ExternalError: the store failed.
        """
        run = self._find(record.run.name, record.fingerprint)
        return run is None or run.status != FINISHED or "test/loss" not in run.metrics

    def lacks_comparison(self, fingerprint: str) -> bool:
        """Return True if the store does not have the comparison with that fingerprint.

        Raises:
            ExternalError: the store failed.
        """
        found = self._find(COMPARISON, fingerprint)
        return found is None or found.status != FINISHED

    def _find(self, name: str, fingerprint: str) -> Logged | None:
        if self.outage.lasts:
            raise ExternalError(f"MLflow: the store {self.uri} failed")
        try:
            with self._lock:
                return self._runs.find(name, fingerprint)
        except Exception as error:
            raise ExternalError(f"MLflow: the store {self.uri} failed ({root_cause(error)})") from None

    def _sweep_tags(self) -> dict[str, str]:
        """Return the tags of a run that stands for others of the sweep."""
        return {"task": self._name, SWEEPS: self._sweep, PROJECT: self._project, "mlflow.source.name": "pipeline"}
