"""The class that logs runs, their evaluations and the verdict on a sweep to a task's MLflow experiment."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import SweepGroups
from pipeline.datasets import Summary
from pipeline.runs.metric import Figures
from pipeline.runs.params import Params, Run
from pipeline.runs.records import Record, Timing
from pipeline.sweep import cache, lock
from pipeline.sweep.run_progress import RunProgress
from pipeline.tracking import bulk, models
from pipeline.tracking.charts import NOTE, note, views
from pipeline.tracking.client import (
    COMPARISON,
    FINISHED,
    PROJECT,
    VERDICT,
    MlflowClient,
    MlflowException,
    RunTag,
    artifacts_uri,
    is_shared,
    latest_comparison,
)
from pipeline.tracking.client import Experiment as MlflowExperiment
from pipeline.tracking.comparison import comparison_run, group_run
from pipeline.tracking.entities import (
    curve_figures,
    dataset_input,
    epoch_metrics,
    final_metrics,
    mean_figures,
    run_params,
)
from pipeline.tracking.writers import EXPERIMENTS, SWEEPS, ClientWriter, EndedRun, TrackedRun, Writer
from pipeline.training.layer_statistics import Layer

SESSION = "session"
"""The tag that identifies the folder in which a run is trained; see `pipeline.sweep.lock.session`."""
SOURCE = "mlflow.source.name"


@dataclass(frozen=True)
class TrackedSweep:
    """A sweep to log to MLflow."""

    root: Path
    """The project's folder."""
    params: Params
    data: Summary
    models: Path
    """The folder that contains the trained runs."""
    fingerprint: str = ""
    trains: bool = False
    """True if this process is the one that trains the sweep."""


class Experiment:
    """The MLflow experiment of a task, created if it is missing.

    The caller must hold the project's lock, and must handle store errors, which any method may raise.
    """

    def __init__(self, client: MlflowClient, sweep: TrackedSweep) -> None:
        self.client, self._sweep = client, sweep
        root, task = sweep.root.resolve(), sweep.params.task
        self._cache = root / ".cache"
        self._note = note(sweep.params.run_task, sweep.data)
        project = f"{socket.gethostname()}:{root}"
        self._summary_tags = {"task": task, SWEEPS: sweep.fingerprint, PROJECT: project, SOURCE: "pipeline"}
        run_tags = {EXPERIMENTS: os.environ.get("DVC_EXP_NAME", ""), "mlflow.source.git.commit": git_commit(root)}
        self._run_tags = {key: value for key, value in (self._summary_tags | run_tags).items() if value}

        experiment = client.get_experiment_by_name(task) or _create(client, task, root)
        self.id = experiment.experiment_id
        client.set_experiment_tag(self.id, "mlflow.experimentKind", "custom_model_development")
        self._describe(experiment.tags.get(NOTE, "").partition("\n\n")[2])  # keep the last verdict
        uri = client.tracking_uri
        shared_by = project if is_shared(uri, root) else ""
        self.runs = ClientWriter(client, self.id, self._cache / "mlflow.turn", len(sweep.params.runs()), shared_by)
        self._writer: Writer = self.runs
        if bulk.is_known(uri):
            self._writer = bulk.BulkWriter(self.runs, uri, self.id, experiment.artifact_location)
        self._end_orphans(project)

    def _describe(self, verdict: str) -> None:
        """Write the experiment's note, which consists of a description of the task and a verdict."""
        text = "\n\n".join(filter(None, [self._note, verdict]))
        self.client.set_experiment_tag(self.id, NOTE, text)

    def _end_orphans(self, project: str) -> None:
        """Mark each of this project's runs as KILLED if its status is RUNNING but no process is training it."""
        for run in self.client.search_runs([self.id], "attributes.status = 'RUNNING'", max_results=1000):
            session = run.data.tags.get(SESSION, "")
            is_own = self._sweep.trains and session == lock.session()  # this process has not begun to train yet
            is_alive = session and not is_own and lock.is_training(self._cache, session)
            if run.data.tags.get(PROJECT) == project and not is_alive:
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _tags(self, run: Run, fingerprint: str) -> dict[str, str]:
        return self._run_tags | {"task": run.task, "scheduler": run.scheduler, "fingerprint": fingerprint}

    def update(self, reports: Sequence[tuple[Run, RunProgress]]) -> None:
        """Log the progress of runs in training."""
        for run, state in reports:
            tags = self._tags(run, state.fingerprint) | {SESSION: lock.session()}
            tracked = self.runs.begin(run.name, round(1000 * state.started), tags, run_params(run))
            if tracked is not None:
                per_epoch = (time.time() - state.started) / max(state.done, 1)
                self.runs.add_epochs(tracked, epoch_metrics(state.epochs, state.started, per_epoch))

    def finish(self, trained: Sequence[tuple[Record, Timing | None]]) -> None:
        """Log the settings, tags, curves and files of trained runs; a timing is None if it is unknown.

        If the store already has a run, only add this DVC experiment and this sweep to the run's tags.
        """
        self._writer.write([self._ended(record, timing) for record, timing in trained])

    def _ended(self, record: Record, timing: Timing | None) -> EndedRun:
        timing = timing or cache.timing(self._cache / cache.RUNS / record.fingerprint) or Timing(time.time(), 0.0)
        started, ended = round(1000 * timing.started), round(1000 * (timing.started + timing.seconds))
        figures, tags = curve_figures(record)
        tags |= self._tags(record.run, record.fingerprint)
        tags |= {"outcome": record.outcome, "device": record.device, "torch": record.torch}
        metrics = epoch_metrics(record.epochs, timing.started, timing.seconds / record.last.epoch)
        metrics += final_metrics(figures, ended)
        files = sorted((self._sweep.models / record.run.name).iterdir())
        return EndedRun(record.run.name, started, ended, tags, run_params(record.run), metrics, files)

    def kill(self) -> None:
        """Mark the runs in training as KILLED after the sweep has been stopped."""
        self.runs.kill()

    def fail(self, run: Run, fingerprint: str, reason: str) -> None:
        """Log a run whose training failed, and mark it as FAILED, unless the store already has the finished run.

        ``reason`` says in one line why the training failed.
        """
        now = round(time.time() * 1000)
        tags = self._tags(run, fingerprint) | {"outcome": f"failed: {reason}"}
        self.runs.write([EndedRun(run.name, now, now, tags, run_params(run), status="FAILED")])

    def _ensured(self, record: Record) -> TrackedRun:
        """Return the store's copy of a run; if the store lacks the run, log it first."""
        self.finish([(record, None)])
        tracked = self.runs.find(record.run.name, record.fingerprint)
        assert tracked is not None
        return tracked

    def is_evaluated(self, record: Record) -> bool:
        """Return True if the store has the finished run and its test figures."""
        run = self.runs.find(record.run.name, record.fingerprint)
        return run is not None and run.status == FINISHED and "test/loss" in run.metrics

    def log_evaluation(self, record: Record, test_figures: Figures, layers: Sequence[Layer]) -> None:
        """Log a run's data set, test figures, and layer statistics from before and after training."""
        run = self._ensured(record)
        # Judge the curve again, because the code that judges curves may have changed since the run was logged.
        figures, tags = curve_figures(record)
        figures |= mean_figures([test_figures], self._sweep.data.units)
        metrics = [
            metric
            for metric in final_metrics(figures, round(time.time() * 1000))
            if repr(run.metrics.get(metric.key)) != repr(metric.value)  # compared as text, because NaN != NaN
        ]
        if not metrics:
            return
        self.client.log_inputs(
            run.run_id, [dataset_input(self._sweep.data, split) for split in self._sweep.data.digests]
        )
        with TemporaryDirectory() as scratch:
            file = Path(scratch) / "parameters.json"
            file.write_text(json.dumps({"layers": [asdict(layer) for layer in layers]}, indent=2), encoding="utf-8")
            self.runs.add_file(run, file)
        changed = [RunTag(*tag) for tag in tags.items() if tag not in run.tags.items()]
        self.client.log_batch(run.run_id, metrics, tags=changed)
        run.metrics |= {metric.key: metric.value for metric in metrics}

    def has_comparison(self, fingerprint: str) -> bool:
        """Return True if the store has the verdict with this fingerprint."""
        run = self.runs.find(COMPARISON, fingerprint)
        return run is not None and run.status == FINISHED

    def log_comparison(self, findings: Findings, fingerprint: str, results: Path) -> None:
        """Log the verdict on a sweep and the report in ``results``, and add the verdict to the experiment's note."""
        run = comparison_run(findings, self._sweep.params, self._summary_tags | {"fingerprint": fingerprint}, results)
        self.runs.write([run])
        self._describe(run.tags[VERDICT])

    def last_verdict(self) -> str:
        """Return the first line of the latest verdict, or an empty string if there is no verdict."""
        run = latest_comparison(self.client, self.id)
        return run.data.tags.get(VERDICT, "").partition("\n")[0] if run else ""

    def log_groups(self, sweep: SweepGroups) -> None:
        """Log the mean curve of each group of a sweep, and add charts of these curves to the experiment's page."""
        own = {group.name for group in sweep.arms}
        units = self._sweep.data.units
        runs = [group_run(group, self._summary_tags, group.name in own, units) for group in sweep.groups]
        self._writer.write(runs)
        for tag, view in views(self._sweep.fingerprint, len(sweep.groups)).items():
            self.client.set_experiment_tag(self.id, tag, view)

    def publish(self, record: Record, prepared: Path) -> None:
        """Publish a run's model unless it is already published; ``prepared`` is the folder with the prepared data."""
        run = self._ensured(record)
        folder = self._sweep.models / record.run.name
        models.publish(self.client, self.id, run.run_id, record, folder, prepared, self._sweep.data)

    def promote(self, record: Record, tags: Mapping[str, str], replaces: bool = True) -> None:
        """If a run has a published model, make that model the champion of the task.

        ``tags`` describe the model and say why it is recommended. If ``replaces`` is False and the task already has a
        champion, keep that champion.
        """
        run = self._ensured(record)
        if model_id := models.published(self.client, self.id, run.run_id):
            tags = {**tags, SWEEPS: self._sweep.fingerprint}
            models.promote(self.client, self._sweep.params.task, run.run_id, model_id, tags, replaces)


def _create(client: MlflowClient, name: str, root: Path) -> MlflowExperiment:
    location = artifacts_uri(root) if client.tracking_uri.startswith("sqlite:") else None
    try:
        return client.get_experiment(client.create_experiment(name, artifact_location=location))
    except MlflowException:
        if experiment := client.get_experiment_by_name(name):
            return experiment  # another project has just created this experiment
        raise


def git_commit(root: Path) -> str:
    """Return the hash of the commit that is checked out in ``root``, or "" if ``root`` is not in a git repository."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
