"""The run cache: a run that was trained once is never trained again.

.cache/runs/<fingerprint>/        what `pipeline.records` leaves of a run, and SHA256SUMS of it
.cache/checkpoints/<fingerprint>  a run that has not ended: see `pipeline.checkpoint`

The fingerprint is of all that can change the result, and of nothing else: neither the names of the run nor the number
of workers, nor a comment in the code.
"""

import ast
import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path

from pipeline import records
from pipeline.data import Summary
from pipeline.errors import DamagedError, UserError
from pipeline.files import clear_drafts, replacing
from pipeline.params import Run
from pipeline.records import Record, Timing
from pipeline.training import user_model as own

RUNS, CHECKPOINTS = "runs", "checkpoints"
SUMS = "SHA256SUMS"
TIMING = "timing.json"
TRAINS = (
    "data/store.py",
    "data/text.py",
    "schedules/expression.py",
    "training/losses.py",
    "training/networks.py",
    "records.py",
    "schedules/annealing.py",
    "schedules/base.py",
    "schedules/composed.py",
    "schedules/cyclic.py",
    "schedules/modern.py",
    "schedules/stepped.py",
    "settings/optimizers.py",
    "training/stacks.py",
    "training/loop.py",
)
"""The modules that can change what training leaves; settings come to them resolved, and are in the fingerprint."""


def fingerprint(run: Run, data: Summary, device: str, torch: str) -> str:
    """SHA-256, as 64 hexadecimal digits, of everything that the result of a run depends on.

    Args:
        run: its settings, all but the names.
        data: of which the digests of the training and the validation part count, and what they are made of.
        device: its kind, such as cpu.
        torch: its version.
    """
    settings, model = run.resolved(), run.model.name
    content = {
        "settings": settings,
        "data": [data.digests["train"], data.digests["val"], data.kind, data.white, len(data.classes)],
        "inputs": [data.input_shape, data.vocabulary_size],
        "code": code(model),
        "device": device,
        "torch": torch,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def code(model: str) -> str:
    """A digest of the code that trains a model, which comments, docstrings and layout do not change."""
    here = Path(__file__).parent.parent
    files = [here / name for name in TRAINS]
    if own.is_own(model) and (source := own.source(model)):
        files += sorted(source.rglob("*.py")) if source.is_dir() else [source]
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()


def take(folder: Path, run: Run, models: Path) -> tuple[Record, Timing] | None:
    """Put a cached run under ``models``, under the names that it has now.

    Args:
        folder: its entry in the cache.
        run: what it is called now.
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
        record = replace(records.read(folder), run=run)
        records.write(models / run.name, record, (folder / records.WEIGHTS).read_bytes())
        timing = _timing(folder)
        os.utime(folder)  # when it was last of use
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


def timing(folder: Path) -> Timing | None:
    """When the run of an entry was trained; None where the cache does not know it any more."""
    try:
        return _timing(folder)
    except (OSError, ValueError, TypeError):
        return None


def _timing(folder: Path) -> Timing:
    return Timing(**json.loads((folder / TIMING).read_text(encoding="utf-8")))


def _sums(folder: Path) -> str:
    """What `sha256sum` prints of the files in ``folder``."""
    files = sorted(file for file in folder.iterdir() if file.name != SUMS)
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


@dataclass(frozen=True)
class Entry:
    """What there is to say of one cached run."""

    path: Path
    kind: str
    """Its task; or that it was stopped and has a checkpoint."""
    size: int
    """In bytes."""
    used: float
    """When it was last of use: seconds since 1970."""


def entries(folder: Path) -> Iterator[Entry]:
    """What is in the cache, in no order; what cannot be read is of the task `?`."""
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
    """Remove entries, and answer which.

    Args:
        folder: of the cache.
        older_than: days without use after which an entry goes.
        larger_than: bytes that the rest may take together; the longest without use goes first.
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
    """Remove what processes that were killed have left half-written."""
    for part in (RUNS, CHECKPOINTS):
        clear_drafts(folder / part)
