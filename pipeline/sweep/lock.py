"""One sweep at a time in a folder: two would write to the same models/."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pipeline.files import clear_drafts
from pipeline.sweep import cache


@contextmanager
def exclusive(models: Path, cached: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other sweep trains in this folder, and keep others out during the block.

    Before and after the block, half-written files of killed workers are removed.

    Args:
        models: the folder that the sweep writes to.
        cached: the folder of the run cache, which also holds the lock.
        warn: called with one line if this sweep has to wait.
    """
    cached.mkdir(exist_ok=True)
    lock = FileLock(_path(cached, session()))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        warn("another sweep trains in this folder; this one waits until it has ended")
        lock.acquire()
    try:
        _clear(models, cached)
        yield
    finally:
        _clear(models, cached)
        lock.release()


def session() -> str:
    """Return a digest of the current folder, which tells its sweeps from those of other folders."""
    return hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]


def is_training(cached: Path, session: str) -> bool:
    """Return True if a process, perhaps this one, trains a sweep in the folder with this `session`."""
    lock = FileLock(_path(cached, session))
    try:
        with lock.acquire(blocking=False):
            return False
    except Timeout:
        return True


def _path(cached: Path, session: str) -> Path:
    return cached / f"train-{session}.lock"


def _clear(models: Path, cached: Path) -> None:
    clear_drafts(models)
    cache.clear(cached)
