"""The run cache: a run that was trained once is never trained again.

.cache/runs/<fingerprint>/        the run's files (see `pipeline.runs.records`), its timing, and SHA256SUMS of them
.cache/checkpoints/<fingerprint>  a run that has not ended: see `pipeline.sweep.checkpoint`
.cache/ranges/<digest>.json       the losses of a range test: see `pipeline.sweep.lr_range`
"""

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline import datasets
from pipeline.errors import DamagedError, UserError
from pipeline.files import clear_drafts, replacing
from pipeline.runs import records
from pipeline.runs.fingerprint import fingerprint
from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing
from pipeline.sweep.engines import Handshake
from pipeline.sweep.jobs import Origin, Outcome, Trained

RUNS, CHECKPOINTS = "runs", "checkpoints"
SUMS = "SHA256SUMS"
TIMING = "timing.json"


class RunCache:
    """The run cache and the folder of models. Only the parent process reads and writes them.

    Args:
        data: the folder of the prepared data.
        models: the folder for the sweep's runs.
        folder: of the cache.
        handshake: of the workers.
    """

    def __init__(self, data: Path, models: Path, folder: Path, handshake: Handshake) -> None:
        self._models, self._folder = models, folder
        self._data, self._handshake = datasets.summary(data), handshake
        self._damage: dict[str, str] = {}
        """Complaints about damaged entries, by fingerprint."""

    def fingerprint(self, run: Run) -> str:
        """Return the fingerprint of a run that these workers train."""
        return fingerprint(run, self._data, self._handshake.device, self._handshake.torch)

    def get(self, run: Run, identity: str) -> Trained | None:
        """Copy the run with the fingerprint ``identity`` to the models; return None if it must be trained."""
        try:
            entry = load(self._folder / RUNS / identity, run, self._models)
        except DamagedError as damage:
            self._damage[identity] = f"is trained again, as the run cache is damaged: {damage}"
            return None
        return Trained(*entry, "cached") if entry else None

    def put(self, outcome: Outcome) -> Trained:
        """Write a run that has ended to the cache and to the models.

        Raises:
            OSError: the folder of models cannot be written to.
        """
        record, complaints = outcome.record, [*outcome.complaints]
        if complaint := self._damage.pop(record.fingerprint, None):
            complaints.insert(0, complaint)
        try:  # to the cache first: then the run is kept even if this process is killed in the next moment
            store(self._folder / RUNS / record.fingerprint, record, outcome.timing, outcome.weights)
        except OSError as error:
            complaints.append(f"is not kept in the run cache: {error.strerror}")
        records.write(self._models / record.run.name, record, outcome.weights)
        with suppress(OSError):  # a checkpoint of a run that has ended does no harm
            (self._folder / CHECKPOINTS / record.fingerprint).unlink()
        origin: Origin = "resumed" if outcome.resumed else "trained"
        return Trained(record, outcome.timing, origin, outcome.seconds, tuple(complaints))


def load(folder: Path, run: Run, models: Path) -> tuple[Record, Timing] | None:
    """Copy a cached run to ``models``.

    Args:
        folder: the run's entry in the cache.
        run: the run, with its current names.
        models: the folder to copy to.

    Returns:
        Its record and its timing; None if the cache lacks it.

    Raises:
        DamagedError: the entry is not as it was written.
    """
    if not folder.exists():
        return None
    try:
        if (folder / SUMS).read_text(encoding="utf-8") != _sums(folder):
            raise DamagedError(f"{folder}: not as it was put there")
        record = records.read(folder, run)
        records.write(models / run.name, record, (folder / records.WEIGHTS).read_bytes())
        timing = _timing(folder)
        os.utime(folder)  # the time of its last use
    except (OSError, ValueError, TypeError, UserError) as error:
        raise DamagedError(f"{folder}: {error}") from None
    return record, timing


def store(folder: Path, record: Record, timing: Timing, weights: bytes) -> None:
    """Write a trained run to the cache, as its entry ``folder``.

    Raises:
        OSError: the entry cannot be written.
    """
    try:
        with replacing(folder) as draft:
            records.write(draft, record, weights)
            (draft / TIMING).write_text(json.dumps(asdict(timing)) + "\n", encoding="utf-8")
            (draft / SUMS).write_text(_sums(draft), encoding="utf-8")
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another sweep has just written the same run
            raise


def timing(folder: Path) -> Timing | None:
    """Return the timing of an entry's run; None if the cache lacks it."""
    try:
        return _timing(folder)
    except (OSError, ValueError, TypeError):
        return None


def _timing(folder: Path) -> Timing:
    return Timing(**json.loads((folder / TIMING).read_text(encoding="utf-8")))


def _sums(folder: Path) -> str:
    """Return the output of `sha256sum` for the files in ``folder``."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


@dataclass(frozen=True)
class Entry:
    """A line of the cache's listing."""

    path: Path
    kind: str
    """The run's task, `?` if it cannot be read, or that the entry is a checkpoint."""
    size: int
    """In bytes."""
    used: float
    """Time of the last use, in seconds since 1970."""


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the entries of the cache in ``folder``, in no order."""
    for path in (*folder.glob(f"{RUNS}/[!.]*"), *folder.glob(f"{CHECKPOINTS}/[!.]*")):
        try:
            kind = records.read(path).run.task if path.is_dir() else "stopped, with a checkpoint"
        except UserError:
            kind = "?"
        try:
            size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
            yield Entry(path, kind, size, path.stat().st_mtime)
        except OSError:  # another process has just removed it
            continue


def prune(folder: Path, older_than: float | None, larger_than: int | None) -> list[Entry]:
    """Remove entries, and return them.

    Args:
        folder: of the cache.
        older_than: remove entries that have not been used for so many days.
        larger_than: remove the longest unused until the rest takes at most so many bytes.
    """
    clear(folder)
    removed, total = [], 0
    for entry in sorted(entries(folder), key=lambda entry: -entry.used):
        total += entry.size
        old = older_than is not None and time.time() - entry.used > older_than * 86_400
        if old or (larger_than is not None and total > larger_than):
            shutil.rmtree(entry.path, ignore_errors=True) if entry.path.is_dir() else entry.path.unlink(missing_ok=True)
            total -= entry.size
            removed.append(entry)
    return removed


def clear(folder: Path) -> None:
    """Remove half-written files of killed processes."""
    for part in (RUNS, CHECKPOINTS):
        clear_drafts(folder / part)
