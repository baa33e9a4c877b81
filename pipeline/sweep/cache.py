"""The run cache, which keeps trained runs so that no run is trained twice.

.cache/runs/<fingerprint>/        the files of a run (see `pipeline.runs.records`), its timing, and SHA256SUMS
.cache/checkpoints/<fingerprint>  the checkpoint of an unfinished run: see `pipeline.sweep.checkpoint`
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
    """Manages the run cache in ``folder`` and the trained runs in ``models``. Only the parent uses this class."""

    def __init__(self, data: Path, models: Path, folder: Path, handshake: Handshake) -> None:
        self._models, self._folder = models, folder
        self._data, self._handshake = datasets.summary(data), handshake
        self._damage: dict[str, str] = {}
        """Complaints about damaged cache entries, keyed by run fingerprint."""

    def fingerprint(self, run: Run) -> str:
        """Return the fingerprint of ``run``, computed with this cache's data and handshake."""
        return fingerprint(run, self._data, self._handshake.device, self._handshake.torch)

    def get(self, run: Run, identity: str) -> Trained | None:
        """Copy a cached run to the models folder and return it, or return None if the run must be trained.

        ``identity`` is the fingerprint of the run.
        """
        try:
            entry = load(self._folder / RUNS / identity, run, self._models)
        except DamagedError as damage:
            self._damage[identity] = f"is trained again because the run cache is damaged: {damage}"
            return None
        return Trained(*entry, "cached") if entry else None

    def put(self, outcome: Outcome) -> Trained:
        """Save a trained run in the cache and in the models folder.

        Raises:
            OSError: the run cannot be written to the models folder.
        """
        record, complaints = outcome.record, [*outcome.complaints]
        if complaint := self._damage.pop(record.fingerprint, None):
            complaints.insert(0, complaint)
        try:  # write to the cache first, so the run is not lost if this process is killed right afterwards
            store(self._folder / RUNS / record.fingerprint, record, outcome.timing, outcome.weights)
        except OSError as error:
            complaints.append(f"is not kept in the run cache: {error.strerror}")
        records.write(self._models / record.run.name, record, outcome.weights)
        with suppress(OSError):  # a leftover checkpoint of a finished run does no harm
            (self._folder / CHECKPOINTS / record.fingerprint).unlink()
        origin: Origin = "resumed" if outcome.resumed else "trained"
        return Trained(record, outcome.timing, origin, outcome.seconds, tuple(complaints))


def load(folder: Path, run: Run, models: Path) -> tuple[Record, Timing] | None:
    """Copy a run from its cache entry to ``models``; return its record and timing, or None if there is no entry.

    ``folder`` is the cache entry of the run. The returned record contains ``run`` instead of the cached settings,
    because names in the settings may have changed since the run was cached.

    Raises:
        DamagedError: the entry cannot be read, or has changed since it was written.
    """
    if not folder.exists():
        return None
    try:
        if (folder / SUMS).read_text(encoding="utf-8") != _sums(folder):
            raise DamagedError(f"{folder}: its files have changed since they were written")
        record = records.read(folder, run)
        records.write(models / run.name, record, (folder / records.WEIGHTS).read_bytes())
        timing = _timing(folder)
        os.utime(folder)  # set the time of last use
    except (OSError, ValueError, TypeError, UserError) as error:
        raise DamagedError(f"{folder}: {error}") from None
    return record, timing


def store(folder: Path, record: Record, timing: Timing, weights: bytes) -> None:
    """Write a trained run to ``folder``, the run's cache entry.

    Raises:
        OSError: the entry cannot be written.
    """
    try:
        with replacing(folder) as draft:
            records.write(draft, record, weights)
            (draft / TIMING).write_text(json.dumps(asdict(timing)) + "\n", encoding="utf-8")
            (draft / SUMS).write_text(_sums(draft), encoding="utf-8")
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # these mean that another sweep wrote the entry first
            raise


def timing(folder: Path) -> Timing | None:
    """Return the timing of the run in the cache entry ``folder``, or None if the timing cannot be read."""
    try:
        return _timing(folder)
    except (OSError, ValueError, TypeError):
        return None


def _timing(folder: Path) -> Timing:
    return Timing(**json.loads((folder / TIMING).read_text(encoding="utf-8")))


def _sums(folder: Path) -> str:
    """Return the SHA-256 sums of the files in ``folder``, in the output format of `sha256sum`."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


@dataclass(frozen=True)
class Entry:
    """An entry of the run cache: either a run or a checkpoint."""

    path: Path
    kind: str
    """For a run, its task, or `?` if the run cannot be read; for a checkpoint, `stopped, with a checkpoint`."""
    size: int
    """The size in bytes."""
    used: float
    """The time when the entry was last used, in seconds since 1970."""


def entries(folder: Path) -> Iterator[Entry]:
    """Yield the entries of the cache in ``folder``, in no particular order."""
    for path in (*folder.glob(f"{RUNS}/[!.]*"), *folder.glob(f"{CHECKPOINTS}/[!.]*")):
        try:
            kind = records.read(path).run.task if path.is_dir() else "stopped, with a checkpoint"
        except UserError:
            kind = "?"
        try:
            size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
            yield Entry(path, kind, size, path.stat().st_mtime)
        except OSError:  # another process has just removed the entry
            continue


def prune(folder: Path, older_than: float | None, larger_than: int | None) -> list[Entry]:
    """Remove entries from the cache in ``folder``, and return them.

    Args:
        older_than: remove entries that have not been used for more than this many days.
        larger_than: keep the most recently used entries that fit in this many bytes, and remove the other entries.
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
    """Remove half-written files that killed processes left in the run cache."""
    for part in (RUNS, CHECKPOINTS):
        clear_drafts(folder / part)
