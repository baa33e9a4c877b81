"""Log trained runs: many that are new in one transaction, one that was begun to its end."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing
from pipeline.tracking.bulk import Database, WholeRun, fits
from pipeline.tracking.client import FINISHED, MlflowClient
from pipeline.tracking.entities import curve_figures, epoch_metrics, final_metrics, in_batches, run_params
from pipeline.tracking.live import LiveRuns
from pipeline.tracking.runs import Logged, Runs

EXPERIMENTS = "dvc.exp_name"
"""The tag with the DVC experiments that a run is part of, separated by commas."""
REQUESTS = 8
"""Runs that are logged at once to a server, which answers several; a database would only wait for itself."""
SWEEPS = "sweep"
"""The tag with the fingerprints of the sweeps that a run is part of, separated by commas."""


class RunLog:
    """Logs trained runs to an experiment, each once.

    Args:
        client: of the store.
        runs: of the experiment.
        live: those that are being trained.
        database: behind the store.
        timing: returns when a run was trained, for a run that is logged without a timing; None if nobody knows.
        tags: of every run, those without a value left out.
    """

    def __init__(
        self,
        client: MlflowClient,
        runs: Runs,
        live: LiveRuns,
        database: Database,
        timing: Callable[[Record], Timing | None],
        tags: Mapping[str, str],
    ) -> None:
        self._client, self._runs, self._live, self._database = client, runs, live, database
        self._timing = timing
        self._tags = {key: value for key, value in tags.items() if value}

    def all(self, trained: Sequence[tuple[Record, Path, Timing | None]]) -> None:
        """Log runs, each with the folder of its files and its timing, if that is known."""
        new: list[tuple[Record, WholeRun]] = []
        others: list[tuple[Record, Path, Timing | None]] = []
        is_known = self._database.is_known
        for record, folder, timing in trained:
            if is_known and self._runs.find(record.run.name, record.fingerprint) is None:
                whole = self._whole(record, folder, timing)
                if fits(whole):
                    new.append((record, whole))
                    continue
            others.append((record, folder, timing))
        at_once = REQUESTS if self._client.tracking_uri.startswith("http") else 1
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda each: self.ensure(*each), others))
        written = self._database.write([whole for _, whole in new]) if new else []
        for record, run in new:
            if run not in written:  # another project has logged it meanwhile
                self.ensure(record, run.folder)
                continue
            metrics = {metric.key: metric.value for metric in run.metrics}
            logged = Logged(
                run.run_id, self._database.artifacts_of(run.run_id), FINISHED, run.started, dict(run.tags), metrics
            )
            self._runs.remember(record.run.name, record.fingerprint, logged)

    def ensure(self, record: Record, folder: Path, timing: Timing | None = None) -> Logged:
        """Log a run if the store does not have it."""
        found = self._runs.find(record.run.name, record.fingerprint)
        if found is not None and found.status == FINISHED:
            self._join(found)
            return found
        whole = self._whole(record, folder, timing, found)
        with self._runs.logging(found, whole.name, whole.started, whole.ended, dict(whole.tags)) as run:
            self._runs.add_files(run, folder)
            first, *others = in_batches(whole.metrics)
            self._client.log_batch(run.run_id, first, whole.params)
            for metrics in others:
                self._client.log_batch(run.run_id, metrics)
        run.metrics |= {metric.key: metric.value for metric in whole.metrics}
        return self._runs.find(record.run.name, record.fingerprint) or run

    def _whole(self, record: Record, folder: Path, timing: Timing | None, found: Logged | None = None) -> WholeRun:
        """Return all that is to be logged of a run; of one that was ``found`` in the store, what it lacks."""
        timing = timing or self._timing(record) or Timing(time.time(), 0.0)
        started, ended = round(1000 * timing.started), round(1000 * (timing.started + timing.seconds))
        figures, tags = curve_figures(record)
        tags |= self.tags(record.run, record.fingerprint)
        tags |= {"outcome": record.outcome, "device": record.device, "torch": record.torch}
        epochs = record.epochs if found is None else self._live.lacking(found, record.epochs)
        metrics = epoch_metrics(epochs, timing.started, timing.seconds / record.last.epoch)
        metrics += final_metrics(figures, ended)
        return WholeRun(record.run.name, started, ended, tags, run_params(record.run), metrics, folder)

    def tags(self, run: Run, fingerprint: str) -> dict[str, str]:
        """Return the tags of a run."""
        return {"task": run.task, "scheduler": run.scheduler, "fingerprint": fingerprint, **self._tags}

    def _join(self, run: Logged) -> None:
        """Add this DVC experiment and this sweep to those that a run is part of."""
        for tag in (EXPERIMENTS, SWEEPS):
            name = self._tags.get(tag, "")
            names = run.tags.get(tag, "").split(", ")
            if name and name not in names:
                run.tags[tag] = ", ".join(filter(None, [*names, name]))
                self._client.set_tag(run.run_id, tag, run.tags[tag])
