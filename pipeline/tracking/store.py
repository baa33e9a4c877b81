"""The MLflow experiment of a task: its runs, their evaluation and their comparison.

Only the parent process talks to MLflow; workers never import it.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Concatenate, ParamSpec

from filelock import FileLock

from pipeline import params
from pipeline.data import Summary
from pipeline.errors import ExternalError
from pipeline.records import Record, Score, Timing
from pipeline.settings.tasks import Task
from pipeline.sweep import lock
from pipeline.sweep.news import News
from pipeline.tracking import git, models
from pipeline.tracking.bulk import Database, WholeRun, fits
from pipeline.tracking.charts import NOTE, experiment_tags
from pipeline.tracking.client import COMPARISON, FINISHED, RunTag, artifacts_uri, connect, root_cause, store_uri
from pipeline.tracking.entities import (
    curve_figures,
    dataset_input,
    epoch_metrics,
    final_metrics,
    in_batches,
    run_params,
)
from pipeline.tracking.live import SESSION, LiveRuns
from pipeline.tracking.runs import Logged, Runs
from pipeline.training.weights import Layer

EXPERIMENTS = "dvc.exp_name"
"""The tag with the DVC experiments that a run is part of, separated by commas."""
SWEEPS = "sweep"
"""The tag with the fingerprints of the sweeps that a run is part of, separated by commas."""
PROJECT = "project"
"""The tag with the machine and folder of the project that logged a run."""

Arguments = ParamSpec("Arguments")


def survives_store_failure(
    method: Callable[Concatenate["Store", Arguments], None],
) -> Callable[Concatenate["Store", Arguments], None]:
    """Warn once if the store fails, and leave it alone from then on: tracking must not cost a result."""

    @wraps(method)
    def attempt(self: "Store", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        if self.failed:
            return
        try:
            with self._lock:
                method(self, *args, **kwargs)
        except Exception as error:
            self.failed = True
            self._warn(
                f"MLflow: the store {self.uri} failed ({root_cause(error)}); results are kept, untracked: "
                "`uv run pipeline track` logs them when it is back"
            )

    return attempt


class Store:
    """The MLflow experiment of one task.

    If the store fails in the middle of a sweep, ``warn`` is called once and the sweep goes on untracked.

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
        self.failed = False
        self.experiment = ""
        self._root = root.resolve()
        self._project = f"{socket.gethostname()}:{self._root}"
        self._name, self._data = name, data
        self._warn, self._timing, self._wanted = warn, timing, wanted
        self._sweep, self._trains = sweep, trains
        self._tags = experiment_tags(task, data)
        self._inputs = [dataset_input(data, split) for split in data.digests]
        # Processes that create one SQLite store together break it for good, and two would log the same run.
        self._lock = FileLock(root / ".cache" / "mlflow.lock")
        (root / ".cache").mkdir(exist_ok=True)
        with self._lock:
            self.client = connect(self.uri, name)
        self._open()

    @survives_store_failure
    def _open(self) -> None:
        experiment = self.client.get_experiment_by_name(self._name)
        if experiment is not None:
            self.experiment = experiment.experiment_id
        else:
            location = artifacts_uri(self._root) if self.uri.startswith("sqlite:") else None
            self.experiment = self.client.create_experiment(self._name, artifact_location=location)
            experiment = self.client.get_experiment(self.experiment)
        self._runs = Runs(self.client, self.experiment, self._root / ".cache" / "mlflow.turn", self._wanted)
        self._live = LiveRuns(self.client, self._runs, lock.session())
        self._database = Database(self.uri, self.experiment, experiment.artifact_location)
        for tag, text in self._tags.items():
            self.client.set_experiment_tag(self.experiment, tag, text)
        # What was running when its process was killed is not running any more.
        for run in self.client.search_runs([self.experiment], "attributes.status = 'RUNNING'", max_results=1000):
            if run.data.tags.get(PROJECT) == self._project and not self._is_alive(run.data.tags.get(SESSION, "")):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _is_alive(self, session: str) -> bool:
        """Return True if a sweep of this project that another process trains has that tag."""
        if not session or (self._trains and session == lock.session()):
            return False
        return lock.is_training(self._root / ".cache", session)

    @survives_store_failure
    def log_live(self, news: Sequence[tuple[params.Run, News]]) -> None:
        """Log how far runs are that are being trained."""
        for run, each in news:
            self._live.log(run, each, self._run_tags(run, each.fingerprint))

    @survives_store_failure
    def end_live(self) -> None:
        """End the runs whose training was given up."""
        self._live.kill()

    @survives_store_failure
    def log(self, trained: Sequence[tuple[Record, Path, Timing | None]]) -> None:
        """Log trained runs: parameters, tags, curve and the verdict on it, and the files in a folder.

        A run that the store has is not logged again; its tags name this DVC experiment and this sweep, too.

        Args:
            trained: records, each with the folder of its files and its timing, if that is known.
        """
        new: list[tuple[Record, WholeRun]] = []
        for record, folder, timing in trained:
            if self._database.is_known and self._runs.find(record.run.name, record.fingerprint) is None:
                whole = self._whole(record, folder, timing)
                if fits(whole):
                    new.append((record, whole))
                    continue
            self._ensure_logged(record, folder, timing)
        self._database.write([whole for _, whole in new])
        for record, run in new:
            metrics = {metric.key: metric.value for metric in run.metrics}
            logged = Logged(
                run.run_id, self._database.artifacts_of(run.run_id), FINISHED, run.started, dict(run.tags), metrics
            )
            self._runs.remember(record.run.name, record.fingerprint, logged)

    @survives_store_failure
    def log_failure(self, run: params.Run, fingerprint: str, reason: str) -> None:
        """Log a run that could not be trained as FAILED; ``reason`` is one line."""
        now = round(time.time() * 1000)
        tags = self._run_tags(run, fingerprint) | {"outcome": f"failed: {reason}"}
        found = self._runs.find(run.name, fingerprint)
        if found is not None and found.status == FINISHED:
            return  # an earlier sweep trained it
        with self._runs.logging(found, run.name, now, now, tags, "FAILED") as logged:
            self.client.log_batch(logged.run_id, params=run_params(run))

    @survives_store_failure
    def log_evaluation(self, record: Record, folder: Path, score: Score, layers: Sequence[Layer]) -> None:
        """Add a run's evaluation: test figures, layers, and the data set (in one call, as each costs).

        Args:
            record: the run; it is logged first if the store does not have it.
            folder: the run's files.
            score: on the test set.
            layers: before and after training.
        """
        run = self._ensure_logged(record, folder)
        figures, tags = curve_figures(record)
        figures |= {"test/loss": score.test_loss, "test/accuracy": score.test_accuracy}
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
    def log_comparison(self, records: Sequence[Record], about: str, files: Sequence[Path], words: str) -> None:
        """Log a sweep's verdict as a run named `comparison`, and append it to the experiment's note.

        Args:
            records: the compared runs.
            about: the metric and the baseline.
            files: the report's files and folders; a comparison that the store has is not logged again.
            words: the verdict.
        """
        fingerprint = self._comparison_fingerprint(records, about)
        found = self._runs.find(COMPARISON, fingerprint)
        if found is None or found.status != FINISHED or found.tags.get("verdict") != words:
            now = found.started if found else round(time.time() * 1000)
            tags = {"task": self._name, "fingerprint": fingerprint, "about": about, "verdict": words, NOTE: words}
            tags |= {PROJECT: self._project, "mlflow.source.name": "pipeline"}
            with self._runs.logging(found, COMPARISON, now, now, tags) as run:
                for file in files:
                    self._runs.add_files(run, file, file.name if file.is_dir() else None)
        self.client.set_experiment_tag(self.experiment, NOTE, f"{self._tags[NOTE]}\n\n{words}")

    @survives_store_failure
    def publish(self, record: Record, folder: Path, data: Path) -> None:
        """Add a model that MLflow can load and serve to a run; see `pipeline.tracking.models`.

        Args:
            record: the run; it is logged first if the store does not have it.
            folder: the run's files.
            data: the folder of the prepared data.
        """
        run = self._ensure_logged(record, folder)
        models.publish(self.client, self.experiment, run.run_id, record, folder, data, self._data)

    def lacks(self, record: Record) -> bool:
        """Return True if the store does not have the run or its test figures.

        Raises:
            ExternalError: the store failed.
        """
        run = self._find(record.run.name, record.fingerprint)
        return run is None or run.status != FINISHED or "test/loss" not in run.metrics

    def lacks_comparison(self, records: Sequence[Record], about: str) -> bool:
        """Return True if the store does not have a comparison; the arguments are those of `log_comparison`.

        Raises:
            ExternalError: the store failed.
        """
        found = self._find(COMPARISON, self._comparison_fingerprint(records, about))
        return found is None or found.status != FINISHED

    def _find(self, name: str, fingerprint: str) -> Logged | None:
        if self.failed:
            raise ExternalError(f"MLflow: the store {self.uri} failed")
        try:
            with self._lock:
                return self._runs.find(name, fingerprint)
        except Exception as error:
            raise ExternalError(f"MLflow: the store {self.uri} failed ({root_cause(error)})") from None

    def _comparison_fingerprint(self, records: Sequence[Record], about: str) -> str:
        """Return the digest of everything that a comparison depends on, except the code that makes it."""
        content = [about, self._data.digests["test"], [(record.run.name, record.fingerprint) for record in records]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _ensure_logged(self, record: Record, folder: Path, timing: Timing | None = None) -> Logged:
        """Log a run if the store does not have it."""
        found = self._runs.find(record.run.name, record.fingerprint)
        if found is not None and found.status == FINISHED:
            self._join(found)
            return found
        whole = self._whole(record, folder, timing, found)
        with self._runs.logging(found, whole.name, whole.started, whole.ended, dict(whole.tags)) as run:
            self._runs.add_files(run, folder)
            self.client.log_batch(run.run_id, params=whole.params)
            for metrics in in_batches(whole.metrics):
                self.client.log_batch(run.run_id, metrics)
        run.metrics |= {metric.key: metric.value for metric in whole.metrics}
        return run

    def _whole(self, record: Record, folder: Path, timing: Timing | None, found: Logged | None = None) -> WholeRun:
        """Return all that is to be logged of a run; of one that was ``found`` in the store, what it lacks."""
        timing = timing or self._timing(record) or Timing(time.time(), 0.0)
        started, ended = round(1000 * timing.started), round(1000 * (timing.started + timing.seconds))
        figures, tags = curve_figures(record)
        tags |= self._run_tags(record.run, record.fingerprint)
        tags |= {"outcome": record.outcome, "device": record.device, "torch": record.torch}
        epochs = record.epochs if found is None else self._live.lacking(found, record.epochs)
        metrics = epoch_metrics(epochs, timing.started, timing.seconds / record.last.epoch)
        metrics += final_metrics(figures, ended)
        return WholeRun(record.run.name, started, ended, tags, run_params(record.run), metrics, folder)

    def _run_tags(self, run: params.Run, fingerprint: str) -> dict[str, str]:
        tags = {
            "task": run.task,
            "scheduler": run.scheduler,
            "fingerprint": fingerprint,
            PROJECT: self._project,
            EXPERIMENTS: os.environ.get("DVC_EXP_NAME", ""),
            SWEEPS: self._sweep,
            "mlflow.source.git.commit": git.commit(self._root),
            "mlflow.source.name": "pipeline",
        }
        return {key: value for key, value in tags.items() if value}

    def _join(self, run: Logged) -> None:
        """Add this DVC experiment and this sweep to those that a run is part of."""
        for tag, name in {EXPERIMENTS: os.environ.get("DVC_EXP_NAME", ""), SWEEPS: self._sweep}.items():
            names = run.tags.get(tag, "").split(", ")
            if name and name not in names:
                run.tags[tag] = ", ".join(filter(None, [*names, name]))
                self.client.set_tag(run.run_id, tag, run.tags[tag])
