"""The MLflow experiment of a task: its runs, their evaluation and their comparison.

Only the parent process talks to MLflow; workers never import it.
"""

import hashlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import wraps
from pathlib import Path
from typing import Concatenate, ParamSpec

from filelock import FileLock

from pipeline import params
from pipeline.comparison.learning_curves import learning_curve
from pipeline.data import Summary
from pipeline.errors import ExternalError
from pipeline.records import Record, Score, Timing
from pipeline.settings.tasks import Task
from pipeline.tracking import git, models
from pipeline.tracking.charts import NOTE, experiment_tags
from pipeline.tracking.client import (
    COMPARISON,
    FINISHED,
    Metric,
    Run,
    RunTag,
    artifacts_uri,
    connect,
    find_run,
    root_cause,
    store_uri,
)
from pipeline.tracking.entities import dataset_input, epoch_metrics, run_params
from pipeline.training.weights import Layer

EXPERIMENTS = "dvc.exp_name"
"""The tag with the DVC experiments that a run is part of, separated by commas."""
PROJECT = "project"
"""The tag with the machine and folder of the project that logged a run."""
BATCH = 1000
"""The most metrics that one call of `log_batch` takes."""

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
    ) -> None:
        self.uri = store_uri(root)
        self.failed = False
        self.experiment = ""
        self._root = root.resolve()
        self._project = f"{socket.gethostname()}:{self._root}"
        self._name, self._data = name, data
        self._warn, self._timing = warn, timing
        self._tags = experiment_tags(task, data)
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
        for tag, text in self._tags.items():
            self.client.set_experiment_tag(self.experiment, tag, text)
        # This process holds the lock, so that no other of this project is logging: a run that seems to be was killed.
        for run in self.client.search_runs([self.experiment], "attributes.status = 'RUNNING'", max_results=1000):
            if run.data.tags.get(PROJECT) == self._project:
                self.client.set_terminated(run.info.run_id, "KILLED")

    @survives_store_failure
    def log(self, record: Record, folder: Path, timing: Timing | None) -> None:
        """Log a trained run: parameters, tags, curve, and the files in ``folder``.

        A run that the store has is not logged again; its tag names this DVC experiment, too.
        """
        self._ensure_logged(record, folder, timing)

    @survives_store_failure
    def log_failure(self, run: params.Run, fingerprint: str, reason: str) -> None:
        """Log a run that could not be trained as FAILED; ``reason`` is one line."""
        now = round(time.time() * 1000)
        tags = self._run_tags(run, fingerprint) | {"outcome": f"failed: {reason}"}
        found = find_run(self.client, self.experiment, run.name, fingerprint)
        if found is not None and found.info.status == FINISHED:
            return  # an earlier sweep trained it
        with self._logging(found, run.name, now, tags) as run_id:
            self.client.log_batch(run_id, params=run_params(run))
        self.client.set_terminated(run_id, "FAILED", now)

    @survives_store_failure
    def log_evaluation(self, record: Record, folder: Path, score: Score, layers: Sequence[Layer]) -> None:
        """Add a run's evaluation: test figures, learning curve, layers, and the data set (in one call, as each costs).

        Args:
            record: the run; it is logged first if the store does not have it.
            folder: the run's files.
            score: on the test set.
            layers: before and after training.
        """
        now = round(time.time() * 1000)
        curve = learning_curve(record)
        figures = {"test/loss": score.test_loss, "test/accuracy": score.test_accuracy}
        figures |= {"best_epoch": curve.best_epoch, "gap": curve.gap}
        # Step 0 tells MLflow to draw a bar, not a curve.
        metrics = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
        run_id, logged = self._ensure_logged(record, folder)
        if all(repr(logged.get(metric.key)) == repr(float(metric.value)) for metric in metrics):  # nan equals nan
            return
        self.client.log_inputs(run_id, [dataset_input(self._data, split) for split in self._data.digests])
        self.client.log_dict(run_id, {"layers": [asdict(layer) for layer in layers]}, "parameters.json")
        self.client.log_batch(run_id, metrics, tags=[RunTag("learning_curve", str(curve))])

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
        found = find_run(self.client, self.experiment, COMPARISON, fingerprint)
        if found is None or found.info.status != FINISHED or found.data.tags.get("verdict") != words:
            now = found.info.start_time if found else round(time.time() * 1000)
            tags = {"task": self._name, "fingerprint": fingerprint, "about": about, "verdict": words, NOTE: words}
            tags |= {PROJECT: self._project, "mlflow.source.name": "pipeline"}
            with self._logging(found, COMPARISON, now, tags) as run_id:
                for file in files:
                    if file.is_dir():
                        self.client.log_artifacts(run_id, str(file), file.name)
                    else:
                        self.client.log_artifact(run_id, str(file))
            self.client.set_terminated(run_id, FINISHED, now)
        self.client.set_experiment_tag(self.experiment, NOTE, f"{self._tags[NOTE]}\n\n{words}")

    @survives_store_failure
    def publish(self, record: Record, folder: Path, data: Path) -> None:
        """Add a model that MLflow can load and serve to a run; see `pipeline.tracking.models`.

        Args:
            record: the run; it is logged first if the store does not have it.
            folder: the run's files.
            data: the folder of the prepared data.
        """
        run_id, _ = self._ensure_logged(record, folder)
        models.publish(self.client, self.experiment, run_id, record, folder, data, self._data)

    def lacks(self, record: Record) -> bool:
        """Return True if the store does not have the run or its test figures.

        Raises:
            ExternalError: the store failed.
        """
        run = self._find(record.run.name, record.fingerprint)
        return run is None or run.info.status != FINISHED or "test/loss" not in run.data.metrics

    def lacks_comparison(self, records: Sequence[Record], about: str) -> bool:
        """Return True if the store does not have a comparison; the arguments are those of `log_comparison`.

        Raises:
            ExternalError: the store failed.
        """
        found = self._find(COMPARISON, self._comparison_fingerprint(records, about))
        return found is None or found.info.status != FINISHED

    def _find(self, name: str, fingerprint: str) -> Run | None:
        if self.failed:
            raise ExternalError(f"MLflow: the store {self.uri} failed")
        try:
            return find_run(self.client, self.experiment, name, fingerprint)
        except Exception as error:
            raise ExternalError(f"MLflow: the store {self.uri} failed ({root_cause(error)})") from None

    def _comparison_fingerprint(self, records: Sequence[Record], about: str) -> str:
        """Return the digest of everything that a comparison depends on, except the code that makes it."""
        content = [about, self._data.digests["test"], [(record.run.name, record.fingerprint) for record in records]]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def _ensure_logged(
        self, record: Record, folder: Path, timing: Timing | None = None
    ) -> tuple[str, dict[str, float]]:
        """Log a run if the store does not have it; return MLflow's id of it and the metrics it had before."""
        found = find_run(self.client, self.experiment, record.run.name, record.fingerprint)
        if found is not None and found.info.status == FINISHED:
            self._join_dvc_experiment(found)
            return found.info.run_id, found.data.metrics
        timing = timing or self._timing(record) or Timing(time.time(), 0.0)
        started = round(1000 * timing.started)
        metrics = epoch_metrics(record, timing)
        tags = self._run_tags(record.run, record.fingerprint)
        tags |= {"outcome": record.outcome, "device": record.device, "torch": record.torch}
        with self._logging(found, record.run.name, started, tags) as run_id:
            # The files first: MLflow reads everything it has of a run to learn where its files go.
            self.client.log_artifacts(run_id, str(folder))
            self.client.log_batch(run_id, metrics[:BATCH], run_params(record.run))
            for start in range(BATCH, len(metrics), BATCH):
                self.client.log_batch(run_id, metrics[start : start + BATCH])
        self.client.set_terminated(run_id, FINISHED, round(1000 * (timing.started + timing.seconds)))
        return run_id, {}

    @contextmanager
    def _logging(self, found: Run | None, name: str, started: int, tags: dict[str, str]) -> Iterator[str]:
        """Yield the id of a run to log to: the one that an interrupted attempt left, or a new one.

        A failing block does not leave it running.
        """
        if found is None:
            run_id = self.client.create_run(self.experiment, started, tags, name).info.run_id
        else:
            run_id = found.info.run_id
            self.client.update_run(run_id, "RUNNING")
            self.client.log_batch(run_id, tags=[RunTag(*tag) for tag in tags.items()])
        try:
            yield run_id
        except BaseException as error:
            with suppress(Exception):
                self.client.set_terminated(run_id, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise

    def _run_tags(self, run: params.Run, fingerprint: str) -> dict[str, str]:
        tags = {
            "task": run.task,
            "scheduler": run.scheduler,
            "fingerprint": fingerprint,
            PROJECT: self._project,
            EXPERIMENTS: os.environ.get("DVC_EXP_NAME", ""),
            "mlflow.source.git.commit": git.commit(self._root),
            "mlflow.source.name": "pipeline",
        }
        return {key: value for key, value in tags.items() if value}

    def _join_dvc_experiment(self, run: Run) -> None:
        name = os.environ.get("DVC_EXP_NAME", "")
        names = run.data.tags.get(EXPERIMENTS, "").split(", ")
        if name and name not in names:
            self.client.set_tag(run.info.run_id, EXPERIMENTS, ", ".join(filter(None, [*names, name])))
