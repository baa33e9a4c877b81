"""The parent's side of training: it alone reads and writes the run cache and the folder of models."""

from pathlib import Path

from pipeline import datasets
from pipeline.errors import DamagedError, UserError
from pipeline.runs import records
from pipeline.runs.fingerprint import fingerprint
from pipeline.runs.records import Record
from pipeline.runs.run import Run
from pipeline.sweep import cache
from pipeline.sweep.engines import Handshake
from pipeline.sweep.jobs import Origin, Outcome, Trained


class Keeper:
    """Takes runs from the cache, and keeps those that end.

    Args:
        folder: of the prepared data.
        models: where the sweep's runs are put.
        cached: the folder of the run cache.
        trains: what the workers say of themselves.
    """

    def __init__(self, folder: Path, models: Path, cached: Path, trains: Handshake) -> None:
        self.models, self._cached = models, cached
        self._data, self._trains = datasets.summary(folder), trains
        self._complaints: dict[str, str] = {}
        """What is wrong with the cache's entry of a run, by its fingerprint."""

    def fingerprint(self, run: Run) -> str:
        """Return the fingerprint of a run, trained by these workers."""
        return fingerprint(run, self._data, self._trains.device, self._trains.torch)

    def take(self, run: Run, identity: str) -> Trained | None:
        """Take a run, whose fingerprint is known, from the cache; None where it must be trained."""
        try:
            found = cache.take(self._cached / cache.RUNS / identity, run, self.models)
        except DamagedError as damage:
            self._complaints[identity] = f"is trained again, as the run cache is damaged: {damage}"
            return None
        return Trained(*found, "cached") if found else None

    def keep(self, outcome: Outcome) -> Trained:
        """Put a run that has ended into the cache and into the folder of models.

        Raises:
            OSError: the folder cannot be written to.
        """
        record, complaints = outcome.record, [*outcome.complaints]
        if complaint := self._complaints.pop(record.fingerprint, None):
            complaints.insert(0, complaint)
        # Into the cache first: what is finished is kept, even if this process is killed in the next moment.
        try:
            cache.keep(self._cached / cache.RUNS / record.fingerprint, record, outcome.timing, outcome.weights)
        except OSError as error:
            complaints.append(f"is not kept in the run cache: {error.strerror}")
        records.write(self.models / record.run.name, record, outcome.weights)
        cache.remove_checkpoint(self._cached, record.fingerprint)
        origin: Origin = "resumed" if outcome.resumed else "trained"
        return Trained(record, outcome.timing, origin, outcome.seconds, tuple(complaints))


def weights(models: Path, record: Record) -> bytes:
    """Read the weights of a trained run.

    Raises:
        UserError: they are not there.
    """
    path = models / record.run.name / records.WEIGHTS
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"{path}: not the weights of this run ({error.strerror}); run `uv run dvc repro` again"
        ) from None
