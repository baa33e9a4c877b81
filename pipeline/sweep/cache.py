"""The run cache: a run that was trained once is never trained again.

.cache/runs/<fingerprint>/        what `runs.records` leaves of a run, when it was trained, and SHA256SUMS of both
.cache/checkpoints/<fingerprint>  a run that has not ended: see `pipeline.sweep.checkpoint`
.cache/ranges/<digest>.json       the losses of a range test: see `pipeline.sweep.range`
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

from pipeline.errors import DamagedError, UserError
from pipeline.files import clear_drafts, replacing
from pipeline.runs import records
from pipeline.runs.params import Run
from pipeline.runs.records import Record, Timing

RUNS, CHECKPOINTS = "runs", "checkpoints"
SUMS = "SHA256SUMS"
TIMING = "timing.json"


def take(folder: Path, run: Run, models: Path) -> tuple[Record, Timing] | None:
    """Put a cached run under ``models``, under the names that it has now.

    Args:
        folder: its entry in the cache.
        run: the run, with the names that it has now.
        models: where to.

    Returns:
        Its record, and when it was trained; None where it is not in the cache.

    Raises:
        DamagedError: it is there, but not as it was put there.
    """
    if not folder.exists():
        return None
    try:
        if (folder / SUMS).read_text(encoding="utf-8") != _sums(folder):
            raise DamagedError(f"{folder}: not as it was put there")
        record = records.read(folder, run)
        records.write(models / run.name, record, (folder / records.WEIGHTS).read_bytes())
        timing = _timing(folder)
        os.utime(folder)  # when it was last used
    except (OSError, ValueError, TypeError, UserError) as error:
        raise DamagedError(f"{folder}: {error}") from None
    return record, timing


def keep(folder: Path, record: Record, timing: Timing, weights: bytes) -> None:
    """Put a trained run into the cache, as its entry ``folder``.

    Raises:
        OSError: it cannot be written.
    """
    try:
        with replacing(folder) as draft:
            records.write(draft, record, weights)
            (draft / TIMING).write_text(json.dumps(asdict(timing)) + "\n", encoding="utf-8")
            (draft / SUMS).write_text(_sums(draft), encoding="utf-8")
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # another sweep has kept the same run in this moment
            raise


def remove_checkpoint(folder: Path, fingerprint: str) -> None:
    """Delete the checkpoint of a run that has ended; one that cannot be deleted does no harm."""
    with suppress(OSError):
        (folder / CHECKPOINTS / fingerprint).unlink()


def timing(folder: Path) -> Timing | None:
    """Tell when the run of an entry was trained; None where the cache has forgotten it."""
    try:
        return _timing(folder)
    except (OSError, ValueError, TypeError):
        return None


def _timing(folder: Path) -> Timing:
    return Timing(**json.loads((folder / TIMING).read_text(encoding="utf-8")))


def _sums(folder: Path) -> str:
    """Return what `sha256sum` prints of the files in ``folder``."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


@dataclass(frozen=True)
class Entry:
    """A line of the cache's listing."""

    path: Path
    kind: str
    """Its task; or that it was stopped and has a checkpoint."""
    size: int
    """In bytes."""
    used: float
    """Time of the last use, in seconds since 1970."""


def entries(folder: Path) -> Iterator[Entry]:
    """List the cache in no order; an entry that cannot be read has the task `?`."""
    for path in (*folder.glob(f"{RUNS}/[!.]*"), *folder.glob(f"{CHECKPOINTS}/[!.]*")):
        try:
            kind = records.read(path).run.task if path.is_dir() else "stopped, with a checkpoint"
        except UserError:
            kind = "?"
        try:
            size = sum(file.stat().st_size for file in (path.iterdir() if path.is_dir() else [path]))
            yield Entry(path, kind, size, path.stat().st_mtime)
        except OSError:  # somebody has just removed it
            continue


def prune(folder: Path, older_than: float | None, larger_than: int | None) -> list[Entry]:
    """Remove entries, and return them.

    Args:
        folder: of the cache.
        older_than: an entry goes after so many days without use.
        larger_than: the rest may take so many bytes together; the longest unused goes first.
    """
    clear(folder)
    found = sorted(entries(folder), key=lambda entry: -entry.used)
    gone, total = [], 0
    for entry in found:
        total += entry.size
        old = older_than is not None and time.time() - entry.used > older_than * 86_400
        if old or (larger_than is not None and total > larger_than):
            shutil.rmtree(entry.path, ignore_errors=True) if entry.path.is_dir() else entry.path.unlink(missing_ok=True)
            total -= entry.size
            gone.append(entry)
    return gone


def clear(folder: Path) -> None:
    """Remove what killed processes left half-written."""
    for part in (RUNS, CHECKPOINTS):
        clear_drafts(folder / part)
