"""The class that logs a sweep to MLflow, both during training and after the evaluation.

Only the parent process talks to MLflow; workers never import MLflow. `Tracker` decides when to log, `Experiment`
decides what to log, and a `Writer` logs the runs.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from filelock import FileLock

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import best_of_each
from pipeline.errors import ExternalError
from pipeline.runs import records
from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing
from pipeline.shutdown import defer_signals
from pipeline.sweep.run_progress import RunProgress
from pipeline.tracking.client import MlflowException, connect, is_shared, shown, store_uri
from pipeline.tracking.comparison import champion_tags, comparison_fingerprint, recommended
from pipeline.tracking.experiment import Experiment, TrackedSweep
from pipeline.tracking.outage import Outage

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Evaluation, Trained

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

GATHER = 0.25
"""The minimum number of seconds between two writes; logging many runs at once takes hardly longer than logging one."""
TRIES = 3
"""The maximum number of attempts at a write that clashes with another project's write."""
CLASHES = (
    *("BAD_REQUEST", "INVALID_PARAMETER_VALUE", "RESOURCE_ALREADY_EXISTS", "RESOURCE_DOES_NOT_EXIST"),
    "TEMPORARILY_UNAVAILABLE",
)
"""The error codes that MLflow returns if another project has just written the same thing or deleted a copy of a run."""


class Tracker:
    """Logs a sweep to MLflow. If the store fails, no results are lost, and the tracker tries the store again later.

    Args:
        sweep: the sweep to log.
        warn: called with one line when the store fails, and when it works again.
        clock: returns the time in seconds since 1970.

    Raises:
        UserError: the store cannot be used, or the experiment has been deleted.
    """

    def __init__(
        self, sweep: TrackedSweep, warn: Callable[[str], None], clock: Callable[[], float] = time.time
    ) -> None:
        uri = store_uri(sweep.root)
        self.address = shown(uri)
        self.outage = Outage(self.address, warn)
        self._sweep, self._clock = sweep, clock
        self._is_shared = is_shared(uri, sweep.root)
        self._every = 0.0
        self._reports: dict[str, tuple[Run, RunProgress]] = {}
        """The runs whose progress has not been logged yet, with their progress reports, keyed by the runs' names."""
        self._ended: list[tuple[Record, Timing | None]] = []
        """Trained runs that have not been logged yet."""
        self._names: set[str] = set()
        """The names of all trained runs."""
        self._next_update = self._next_flush = clock()
        # Without the lock, two processes could log a run twice, or damage a SQLite store by creating it simultaneously.
        (sweep.root / ".cache").mkdir(exist_ok=True)
        self._lock = FileLock(sweep.root / ".cache" / "mlflow.lock")
        self._experiment: Experiment | None = None
        with self._lock:
            self._client = connect(uri, sweep.params.task)
            with self.outage.attempt():
                self._experiment = Experiment(self._client, sweep)

    def _attempt(
        self,
        use: Callable[Concatenate[Experiment, Arguments], Result],
        *args: Arguments.args,
        **kwargs: Arguments.kwargs,
    ) -> Result | None:
        """Call a method of the experiment; return its result, or None if the store fails or has recently failed."""
        if not self.outage.is_worth_a_try:
            return None
        with self.outage.attempt(), self._lock:
            # After a failure, what the old `Experiment` object remembers of the store may be wrong.
            if self._experiment is None or self.outage.lasts:
                self._experiment = Experiment(self._client, self._sweep)
            for left in reversed(range(TRIES)):
                try:
                    return use(self._experiment, *args, **kwargs)
                except MlflowException as error:
                    if left == 0 or not self._is_shared or error.error_code not in CLASHES:
                        raise
                    self._experiment = Experiment(self._client, self._sweep)
        return None

    @contextmanager
    def training(self, stop: Callable[[], None], every: float) -> Iterator[None]:
        """Track the runs that are trained in the block. Even if the block raises an exception, log every finished run.

        Args:
            stop: called to end the workers after an exception.
            every: the number of seconds between two updates of a run in training.
        """
        self._every = every
        try:
            yield
            self.flush()
        except BaseException:
            stop()
            self.flush()
            with defer_signals():
                left = [record for record in records.finished(self._sweep.models) if record.run.name not in self._names]
                self._attempt(Experiment.finish, [(record, None) for record in left])
                self._attempt(Experiment.kill)
            raise

    def update(self, runs: Mapping[str, Run], reports: Sequence[RunProgress]) -> None:
        """Collect progress reports, and log the progress of runs when an update is due; ``runs`` maps names to runs."""
        for item in reports:
            earlier = self._reports[item.name][1].epochs if item.name in self._reports else ()
            self._reports[item.name] = runs[item.name], replace(item, epochs=[*earlier, *item.epochs])
        now = self._clock()
        if now >= self._next_update:
            due = [name for name, (_, item) in self._reports.items() if now >= item.started + self._every]
            if due:
                with defer_signals():
                    self._attempt(Experiment.update, [self._reports.pop(name) for name in due])
                self._next_update = now + self._every
        if now >= self._next_flush:
            self.flush()

    def finish(self, trained: "Sequence[Trained]") -> None:
        """Log runs that have ended; runs that end at almost the same time are logged together."""
        for done in trained:
            self._ended.append((done.record, done.timing))
            self._names.add(done.record.run.name)
            self._reports.pop(done.record.run.name, None)
        if self._clock() >= self._next_flush:
            self.flush()

    def flush(self) -> None:
        """Log all runs that have ended but have not been logged yet."""
        if not self._ended:
            return
        with defer_signals():
            self._attempt(Experiment.finish, self._ended)
            if not self.outage.lasts:
                self._ended.clear()
        self._next_flush = self._clock() + GATHER

    def fail(self, run: Run, fingerprint: str, reason: str) -> None:
        """Log a run that could not be trained; ``reason`` says why, in one line."""
        self._attempt(Experiment.fail, run, fingerprint, reason)

    def log_results(
        self,
        trained: Sequence[Record],
        evaluated: "Mapping[str, Evaluation]",
        findings: Findings,
        results: Path,
        prepared: Path,
    ) -> None:
        """Log an evaluated sweep: test figures, mean curves, the verdict, the recommended model and the champion.

        If the verdict recommends no scheduler, publish the leader's model. If the sweep has nothing to compare, the
        previous verdict remains. ``results`` contains the report, and ``prepared`` contains the prepared data.
        """
        for record in trained:
            evaluation = evaluated[record.run.name]
            self._attempt(Experiment.log_evaluation, record, evaluation.figures, evaluation.layers)
        answer = findings.answer
        group = recommended(answer)
        best = {record.run.method: record for record in self._best(trained)}[(group or answer.leader).method]
        self._attempt(Experiment.publish, best, prepared)
        self._attempt(Experiment.log_groups, findings.sweep)
        if answer.kind == "nothing":
            return
        self._attempt(Experiment.log_comparison, findings, self._fingerprint(trained), results)
        if group is not None:
            tags = champion_tags(best, findings)
            self._attempt(Experiment.promote, best, tags, replaces=answer.kind != "same")

    def publish_all(self, trained: Sequence[Record], prepared: Path) -> None:
        """Publish the model of each scheduler's best run; ``prepared`` is the folder of the prepared data."""
        for record in self._best(trained):
            self._attempt(Experiment.publish, record, prepared)

    def lacking(self, trained: Iterable[Record]) -> list[Record]:
        """Return the runs that are missing from the store or have no test figures there.

        Raises:
            ExternalError: the store fails.
        """
        return [record for record in trained if not self._ask(Experiment.is_evaluated, record)]

    def lacks_comparison(self, trained: Sequence[Record]) -> bool:
        """Return True if the store lacks the verdict on these runs.

        Raises:
            ExternalError: the store fails.
        """
        return not self._ask(Experiment.has_comparison, self._fingerprint(trained))

    def last_verdict(self) -> str:
        """Return the first line of the latest verdict on the task, or "" if there is no verdict or the store fails."""
        return self._attempt(Experiment.last_verdict) or ""

    def check(self) -> None:
        """Check that the store works.

        Raises:
            ExternalError: the store fails.
        """
        if self.outage.lasts:
            raise ExternalError("nothing is lost: try again when the store is back")

    def _ask(self, read: Callable[[Experiment, Result], bool], about: Result) -> bool:
        answer = self._attempt(read, about)
        self.check()
        return bool(answer)

    def _best(self, trained: Sequence[Record]) -> list[Record]:
        return best_of_each(trained, is_auto=self._sweep.params.run_seeds is None)

    def _fingerprint(self, trained: Sequence[Record]) -> str:
        return comparison_fingerprint(self._sweep.params, self._sweep.data, trained)
