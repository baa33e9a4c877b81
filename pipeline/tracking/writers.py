"""Writers, which log runs to an MLflow experiment.

`ClientWriter` works with any store. The writer in the module `bulk` is faster, but works only with databases.

The caller of a writer must hold the project's lock. A search takes as long as logging a run, so a writer reads all runs
of a store once, and remembers them until another process of the project logs something.

MLflow has no lock for a store that several projects share. In a shared store, a writer searches for each run, and
continues a run only if its own project began the run. If two projects log the same run at the same moment, the project
that finishes later finds two copies of the run and deletes one. Both projects would choose the same copy to delete.
"""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

from pipeline.tracking.client import (
    FINISHED,
    PROJECT,
    RUNNING,
    VERDICT,
    Metric,
    MlflowClient,
    MlflowException,
    Param,
    Run,
    RunTag,
    find_runs,
    get_artifact_repository,
)
from pipeline.tracking.entities import in_batches
from pipeline.tracking.outage import StoreError, store_errors

EXPERIMENTS, SWEEPS = "dvc.exp_name", "sweep"
"""The tag that lists a run's DVC experiments, and the tag that lists its sweeps; both lists are comma-separated."""
READ_AHEAD = 4
"""The number of runs that MLflow can read in the time that one search takes."""
MOST = 50_000
"""The maximum number of runs that MLflow returns at once."""
REQUESTS = 8
"""The maximum number of runs to log to a server at the same time; runs are logged to a database one at a time."""


@dataclass
class TrackedRun:
    """A run in the store."""

    run_id: str
    artifacts: str
    """The URI of the run's files."""
    status: str
    started: int
    """The start time of the run, in milliseconds since 1970."""
    tags: dict[str, str]
    metrics: dict[str, float]
    """The latest value of each metric."""

    @classmethod
    def of(cls, run: Run) -> "TrackedRun":
        """Return the facts about an MLflow run that a writer keeps."""
        info, data = run.info, run.data
        return cls(info.run_id, info.artifact_uri, info.status, info.start_time, data.tags, data.metrics)


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended, with everything to log about it."""

    name: str
    started: int
    """The start time of the run, in milliseconds since 1970."""
    ended: int
    """The end time of the run, in milliseconds since 1970."""
    tags: Mapping[str, str]
    """The tags of the run, including its fingerprint."""
    params: Sequence[Param]
    metrics: Sequence[Metric] = ()
    files: Sequence[Path] = ()
    """The files and folders to log as artifacts; a folder is logged under its own name."""
    status: str = FINISHED
    """The status of the run in MLflow."""
    run_id: str = field(default_factory=lambda: uuid4().hex)

    @property
    def key(self) -> tuple[str, str]:
        """The name and the fingerprint, which identify the run in a store."""
        return self.name, self.tags["fingerprint"]


class Writer(Protocol):
    """Logs runs to a store after the runs have ended."""

    def write(self, runs: Sequence[EndedRun]) -> None:
        """Log runs; if the store already has a run, only add the DVC experiment and the sweep to the run's tags."""


class ClientWriter:
    """Reads and writes the runs of an experiment through MLflow's client.

    Args:
        client: the client of the store.
        experiment: the experiment's ID in MLflow.
        turn: the file that contains the id of the writer that last logged runs of this project.
        expected: the approximate number of runs to log.
        shared_by: the name with which this project tags its runs if other projects use the store; otherwise empty.
    """

    def __init__(
        self, client: MlflowClient, experiment: str, turn: Path, expected: int = 1, shared_by: str = ""
    ) -> None:
        self._client, self._experiment = client, experiment
        self._turn, self._me, self._shared_by = turn, uuid4().hex, shared_by
        self._most = min(READ_AHEAD * expected, MOST)
        self._known: dict[tuple[str, str], TrackedRun] = {}
        self._is_complete: bool | None = None
        """True if `_known` contains all runs in the store, and None if the runs have not been read yet."""
        self._steps: dict[str, set[int]] = {}
        """The epochs that the store already has for each run, keyed by MLflow's run id."""
        self._live: set[tuple[str, str]] = set()
        """The keys of the runs in training that this process has marked as RUNNING."""

    def find(self, name: str, fingerprint: str) -> TrackedRun | None:
        """Return the run with this name and fingerprint, or None; if there are several, prefer a finished copy."""
        key = name, fingerprint
        if self._shared_by:
            known = self._known.get(key)
            return known if known is not None and known.status == FINISHED else self._find_shared(*key)
        if not self._turn.exists() or self._turn.read_text(encoding="utf-8") != self._me:
            self._known.clear()
            self._is_complete = self._is_complete is None and self._read_all()
            self._turn.write_text(self._me, encoding="utf-8")
        if key not in self._known and not self._is_complete:
            for run in find_runs(self._client, self._experiment, *key)[:1]:
                self._known[key] = TrackedRun.of(run)
        return self._known.get(key)

    def _read_all(self) -> bool:
        """Remember all runs in the store, and return True; return False if the store has too many runs to read."""
        runs = self._client.search_runs([self._experiment], max_results=self._most)
        if runs.token:
            return False
        for run in sorted(runs, key=lambda run: run.info.status == FINISHED):  # a finished run replaces other copies
            self._known[run.info.run_name, run.data.tags.get("fingerprint", "")] = TrackedRun.of(run)
        return True

    def _find_shared(self, name: str, fingerprint: str) -> TrackedRun | None:
        """Return a finished copy of a run, or else a copy that this project has begun, or else None.

        If there is a finished copy, delete all other copies, except other projects' unfinished copies.
        """
        runs = find_runs(self._client, self._experiment, name, fingerprint)
        finished = [run for run in runs if run.info.status == FINISHED]
        begun = [run for run in runs if run not in finished and run.data.tags.get(PROJECT) == self._shared_by]
        finished.sort(key=lambda run: ("test/loss" not in run.data.metrics, run.info.run_id))
        copies = [*finished, *begun]
        if not copies:
            return None
        for run in copies[1:] if finished else ():
            with suppress(MlflowException):  # another project has just deleted the copy
                self._client.delete_run(run.info.run_id)
        self._known[name, fingerprint] = TrackedRun.of(copies[0])
        return self._known[name, fingerprint]

    def remember(self, run: EndedRun, artifacts: str) -> None:
        """Remember a run that another writer has logged; ``artifacts`` is the URI of the run's files."""
        metrics = {metric.key: metric.value for metric in run.metrics}
        self._known[run.key] = TrackedRun(run.run_id, artifacts, FINISHED, run.started, dict(run.tags), metrics)

    def begin(self, name: str, started: int, tags: dict[str, str], params: Sequence[Param]) -> TrackedRun | None:
        """Mark a run as RUNNING and return it, or return None if it is finished or another process is training it.

        If an interrupted sweep left the run in the store, continue that run. ``started`` is in milliseconds since 1970,
        and ``tags`` include the fingerprint.
        """
        key = name, tags["fingerprint"]
        run = self.find(*key)
        if run is not None and run.status in (FINISHED, RUNNING):
            return run if run.status == RUNNING and key in self._live else None
        run = self._open(run, name, started, tags)
        self._live.add(key)
        self._client.log_batch(run.run_id, params=params)
        return run

    def add_epochs(self, run: TrackedRun, metrics: Iterable[Metric]) -> None:
        """Log the metrics of those epochs that the store lacks."""
        metrics = self._lacking(run, metrics)
        for batch in in_batches(metrics):
            self._client.log_batch(run.run_id, batch)
        self._steps[run.run_id].update(metric.step for metric in metrics)

    def _lacking(self, run: TrackedRun, metrics: Iterable[Metric]) -> list[Metric]:
        """Return the metrics of epochs that the store lacks, and the metrics of the whole run, which have step 0."""
        if run.run_id not in self._steps:
            history = self._client.get_metric_history(run.run_id, "lr")
            self._steps[run.run_id] = {metric.step for metric in history}
        return [metric for metric in metrics if metric.step == 0 or metric.step not in self._steps[run.run_id]]

    def kill(self) -> None:
        """Mark as KILLED all runs in training that this process has marked as RUNNING."""
        for key in self._live:
            run = self.find(*key)
            if run is not None and run.status == RUNNING:
                self._end(run, "KILLED")
        self._live.clear()

    def write(self, runs: Sequence[EndedRun]) -> None:
        """Log runs, several at a time if the store is a server; continue runs that an earlier attempt began."""
        with ThreadPoolExecutor(REQUESTS if self._client.tracking_uri.startswith("http") else 1) as pool:
            list(pool.map(self._write, runs))

    def _write(self, run: EndedRun) -> None:
        """Log a run; if that fails, mark the run as FAILED or KILLED, so that a later attempt can continue it."""
        found = self.find(*run.key)
        is_complete = found is not None and found.status == FINISHED
        if found is not None and is_complete and found.tags.get(VERDICT) == run.tags.get(VERDICT):
            self._join(found, run.tags)
            return
        tracked = self._open(found, run.name, run.started, dict(run.tags))
        try:
            for file in run.files:
                self.add_file(tracked, file)
            first, *others = in_batches(self._lacking(tracked, run.metrics))
            self._client.log_batch(tracked.run_id, first, () if is_complete else run.params)
            for batch in others:
                self._client.log_batch(tracked.run_id, batch)
        except BaseException as error:
            with suppress(StoreError), store_errors():
                self._end(tracked, "FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        self._end(tracked, run.status, run.ended)
        tracked.metrics |= {metric.key: metric.value for metric in run.metrics}
        self._live.discard(run.key)
        if self._shared_by and run.status == FINISHED:
            self._find_shared(*run.key)

    def _join(self, run: TrackedRun, tags: Mapping[str, str]) -> None:
        """Add the DVC experiment and the sweep in ``tags`` to the tags of a run."""
        for tag in (EXPERIMENTS, SWEEPS):
            name = tags.get(tag, "")
            names = run.tags.get(tag, "").split(", ")
            if name and name not in names:
                run.tags[tag] = ", ".join(filter(None, [*names, name]))
                self._client.set_tag(run.run_id, tag, run.tags[tag])

    def _open(self, run: TrackedRun | None, name: str, started: int, tags: dict[str, str]) -> TrackedRun:
        """Create a run, or continue the run that an earlier attempt began; return the run with the status RUNNING."""
        if run is None:
            run = TrackedRun.of(self._client.create_run(self._experiment, started, tags, name))
            self._known[name, tags["fingerprint"]] = run
            self._steps[run.run_id] = set()
            return run
        if run.status != RUNNING:
            self._client.update_run(run.run_id, RUNNING)
            run.status = RUNNING
        changed = {key: value for key, value in tags.items() if run.tags.get(key) != value}
        if changed:
            self._client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in changed.items()])
            run.tags |= changed
        return run

    def _end(self, run: TrackedRun, status: str, ended: int | None = None) -> None:
        self._client.set_terminated(run.run_id, status, ended)
        run.status = status

    def add_file(self, run: TrackedRun, path: Path) -> None:
        """Add a copy of a file or a folder to a run's files."""
        # MLflow's own client would first read the whole run from the store, just to find the URI of its files.
        repository: Any = get_artifact_repository(run.artifacts, self._client.tracking_uri)
        if path.is_dir():
            repository.log_artifacts(str(path), path.name)
        else:
            repository.log_artifact(str(path))
