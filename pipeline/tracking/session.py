"""Track a sweep: each run as it ends, and after evaluation its figures and the best models."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import records
from pipeline.records import Record
from pipeline.shutdown import defer_signals
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Evaluation, Trained


@contextmanager
def log_as_they_end(store: Store, models: Path, stop: Callable[[], None]) -> "Iterator[Callable[[Trained], None]]":
    """Yield a function that logs a run. However the block ends, every run that is finished by then is logged.

    Args:
        store: where to log.
        models: the folder that the runs are written to.
        stop: ends the workers, if the block is left by an exception.
    """
    logged = set()

    def log(done: "Trained") -> None:
        with defer_signals():
            store.log(done.record, models / done.record.run.name, done.timing)
        logged.add(done.record.run.name)

    try:
        yield log
    except BaseException:
        stop()
        with defer_signals():
            for record in records.finished(models):
                if record.run.name not in logged:
                    store.log(record, models / record.run.name, None)
        raise


def log_evaluations(
    store: Store,
    trained: Sequence[Record],
    evaluated: "Mapping[str, Evaluation]",
    best: Sequence[Record],
    models: Path,
    data: Path,
) -> None:
    """Log the figures of evaluated runs, and publish the best ones as models.

    Args:
        store: where to log.
        trained: the runs of a sweep.
        evaluated: their figures, by their names.
        best: those to publish.
        models: the folder of the runs.
        data: the folder of the prepared data.
    """
    for record in trained:
        if evaluation := evaluated.get(record.run.name):
            store.log_evaluation(record, models / record.run.name, evaluation.score, evaluation.layers)
    for record in best:
        store.publish(record, models / record.run.name, data)
