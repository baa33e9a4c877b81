"""Runs that are being trained: in MLflow as RUNNING, with the epochs that they have recorded so far."""

import time
from collections.abc import Mapping, Sequence

from pipeline.runs.epoch import Epoch
from pipeline.runs.params import Run
from pipeline.sweep.run_progress import RunProgress
from pipeline.tracking.client import FINISHED, RUNNING, MlflowClient
from pipeline.tracking.entities import epoch_metrics, in_batches, run_params
from pipeline.tracking.runs import Logged, Runs

SESSION = "session"
"""The tag with the folder that trains a run: see `pipeline.sweep.lock.session`."""


class LiveRuns:
    """The runs that this process has begun in MLflow.

    Args:
        client: of the store.
        runs: of the experiment.
        session: of this process.
    """

    def __init__(self, client: MlflowClient, runs: Runs, session: str) -> None:
        self._client, self._runs, self._session = client, runs, session
        self._steps: dict[str, set[int]] = {}
        """The epochs that the store has, by MLflow's id of a run."""
        self._running: dict[str, Logged] = {}

    def log(self, run: Run, news: RunProgress, tags: Mapping[str, str]) -> None:
        """Log the epochs that a run has recorded, and begin it if it has not begun; ``tags`` are its own."""
        found = self._runs.find(run.name, news.fingerprint)
        if found is not None and found.status == FINISHED:
            self._running.pop(found.run_id, None)  # another process of the project was quicker
            return
        if found is None or found.run_id not in self._running:
            if found is not None and found.status == RUNNING:
                return  # another process trains it, too
            found = self._begin(found, run, round(1000 * news.started), {**tags, SESSION: self._session})
        epochs = self.lacking(found, news.epochs)
        per_epoch = (time.time() - news.started) / max(news.done, 1)
        for batch in in_batches(epoch_metrics(epochs, news.started, per_epoch)):
            self._client.log_batch(found.run_id, batch)
        self._steps[found.run_id].update(epoch.epoch for epoch in epochs)

    def lacking(self, run: Logged, epochs: Sequence[Epoch]) -> list[Epoch]:
        """Return those of the epochs of a run that the store does not have."""
        if run.run_id not in self._steps:
            history = self._client.get_metric_history(run.run_id, "lr")
            self._steps[run.run_id] = {metric.step for metric in history}
        return [epoch for epoch in epochs if epoch.epoch not in self._steps[run.run_id]]

    def kill(self) -> None:
        """End those that are still running: their training was given up."""
        for run in self._running.values():
            if run.status == RUNNING:
                self._client.set_terminated(run.run_id, "KILLED")
                run.status = "KILLED"
        self._running.clear()

    def _begin(self, found: Logged | None, run: Run, started: int, tags: dict[str, str]) -> Logged:
        """Begin a run, or go on in the one that an earlier attempt has begun."""
        if found is None:
            found = self._runs.create(run.name, started, tags)
            self._steps[found.run_id] = set()
        else:
            self._runs.go_on(found, tags)
        self._running[found.run_id] = found
        self._client.log_batch(found.run_id, params=run_params(run))
        return found
