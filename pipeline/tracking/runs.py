"""The runs of an experiment in MLflow's store: which there are, and one more.

Whoever uses this holds the project's lock. A search costs as much as all else that logs a run, so what the store has is
read once, and remembered for as long as no other process of the project logs.

A store that several projects share has no lock, as MLflow has none to offer. There each run is searched for, a project
goes on with none but its own, and if two have logged the same run at the same moment, one of the copies is deleted:
whoever comes last sees both, and all choose alike.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.tracking.client import (
    FINISHED,
    PROJECT,
    RUNNING,
    MlflowClient,
    MlflowException,
    Run,
    RunTag,
    find_runs,
    get_artifact_repository,
)

READ_AHEAD = 4
"""Runs that can be read for the time that it takes to search for one."""
MOST = 50_000
"""The most runs that MLflow returns at once."""


@dataclass
class Logged:
    """A run in the store."""

    run_id: str
    artifacts: str
    """The URI of its files."""
    status: str
    started: int
    """Milliseconds since 1970."""
    tags: dict[str, str]
    metrics: dict[str, float]
    """The latest value of each."""

    @classmethod
    def of(cls, run: Run) -> "Logged":
        """Return what we remember of MLflow's run."""
        info, data = run.info, run.data
        return cls(info.run_id, info.artifact_uri, info.status, info.start_time, data.tags, data.metrics)


class Runs:
    """The runs of an experiment, by name and fingerprint.

    Args:
        client: of the store.
        experiment: MLflow's id of it.
        turn: a file that says which process of the project was the last to log.
        wanted: about how many runs will be looked for.
        shared_by: what the tag `project` says of our runs, where other projects log to the store, too; otherwise empty.
    """

    def __init__(self, client: MlflowClient, experiment: str, turn: Path, wanted: int, shared_by: str = "") -> None:
        self._client, self._experiment = client, experiment
        self._turn, self._me, self._shared_by = turn, uuid4().hex, shared_by
        self._most = min(READ_AHEAD * wanted, MOST)
        self._known: dict[tuple[str, str], Logged] = {}
        self._complete: bool | None = None
        """True if the store has no run that is not in `_known`; None before the first look."""

    def find(self, name: str, fingerprint: str) -> Logged | None:
        """Return the run of that name and fingerprint; if there are several, a finished one."""
        key = name, fingerprint
        if self._shared_by:
            known = self._known.get(key)
            return known if known is not None and known.status == FINISHED else self._find_shared(*key)
        if not self._is_our_turn():
            self._known.clear()
            self._complete = self._complete is None and self._read()
            self._turn.write_text(self._me, encoding="utf-8")
        if key not in self._known and not self._complete and (runs := find_runs(self._client, self._experiment, *key)):
            self._known[key] = Logged.of(runs[0])
        return self._known.get(key)

    def _find_shared(self, name: str, fingerprint: str) -> Logged | None:
        """Return the finished run, or else one that this project has begun. One of several finished ones stays."""
        runs = find_runs(self._client, self._experiment, name, fingerprint)
        finished = [run for run in runs if run.info.status == FINISHED]
        begun = [run for run in runs if run not in finished and run.data.tags.get(PROJECT) == self._shared_by]
        finished.sort(key=lambda run: ("test/loss" not in run.data.metrics, run.info.run_id))
        copies = [*finished, *begun]
        if not copies:
            return None
        for run in copies[1:] if finished else ():
            with suppress(MlflowException):  # the other project has deleted it just now
                self._client.delete_run(run.info.run_id)
        found = Logged.of(copies[0])
        self.remember(name, fingerprint, found)
        return found

    @contextmanager
    def logging(
        self, found: Logged | None, name: str, started: int, ended: int, tags: dict[str, str], status: str = FINISHED
    ) -> Iterator[Logged]:
        """Yield a run to log to. Once the block ends, it has ended with ``status``; a failing one leaves none running.

        Args:
            found: the run that an interrupted attempt left; None: a new one.
            name: of the run.
            started: milliseconds since 1970.
            ended: milliseconds since 1970.
            tags: its tags, the fingerprint among them.
            status: MLflow's.
        """
        if found is None:
            run = self.create(name, started, tags)
        else:
            run = found
            self.go_on(run, tags)
        try:
            yield run
        except BaseException as error:
            run.status = "FAILED" if isinstance(error, Exception) else "KILLED"
            with suppress(Exception):
                self._client.set_terminated(run.run_id, run.status)
            raise
        self._client.set_terminated(run.run_id, status, ended)
        run.status = status
        if self._shared_by and status == FINISHED:
            self._find_shared(name, tags["fingerprint"])

    def create(self, name: str, started: int, tags: dict[str, str]) -> Logged:
        """Begin a run; ``started`` in milliseconds since 1970, the fingerprint among its tags."""
        run = Logged.of(self._client.create_run(self._experiment, started, tags, name))
        self.remember(name, tags["fingerprint"], run)
        return run

    def go_on(self, run: Logged, tags: dict[str, str]) -> None:
        """Go on with a run that an interrupted attempt has begun."""
        if run.status != RUNNING:
            self._client.update_run(run.run_id, RUNNING)
            run.status = RUNNING
        changed = {key: value for key, value in tags.items() if run.tags.get(key) != value}
        if changed:
            self._client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in changed.items()])
            run.tags |= changed

    def remember(self, name: str, fingerprint: str, run: Logged) -> None:
        """Remember a run that the store has now."""
        self._known[name, fingerprint] = run

    def add_files(self, run: Logged, path: Path, into: str | None = None) -> None:
        """Copy a file, or what a folder holds, to a run's files, there into the folder ``into``."""
        # MLflow's client would read everything it has of the run to learn where its files go.
        repository: Any = get_artifact_repository(run.artifacts, self._client.tracking_uri)
        if path.is_dir():
            repository.log_artifacts(str(path), into)
        else:
            repository.log_artifact(str(path), into)

    def _is_our_turn(self) -> bool:
        return self._turn.exists() and self._turn.read_text(encoding="utf-8") == self._me

    def _read(self) -> bool:
        """Remember what the store has; False if that is too much to read."""
        found = self._client.search_runs([self._experiment], max_results=self._most)
        if found.token:
            return False
        for run in sorted(found, key=lambda run: run.info.status == FINISHED):  # of several, a finished one stays
            self._known[run.info.run_name, run.data.tags.get("fingerprint", "")] = Logged.of(run)
        return True
