"""A lock that lets one sweep at a time train in a folder: two sweeps would write to the same models/."""

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
    """Wait until no other sweep trains in this folder, and hold the lock during the block.

    Before and after the block, remove the half-written files of killed workers from ``models``, the folder that the
    sweep writes to, and from ``cached``, the folder of the run cache and of the lock file.
    """
    cached.mkdir(exist_ok=True)
    lock = FileLock(_path(cached, session()))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        warn("another sweep is training in this folder; this sweep waits until it ends")
        lock.acquire()
    try:
        _clear(models, cached)
        yield
    finally:
        _clear(models, cached)
        lock.release()


def session() -> str:
    """Return a digest of the current folder's path, which identifies the sweeps of this folder."""
    return hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]


def is_training(cached: Path, session: str) -> bool:
    """Return True if a process, perhaps this one, trains a sweep in the folder that ``session`` identifies."""
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
