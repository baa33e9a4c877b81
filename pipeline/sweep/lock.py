"""A lock that lets only one sweep train in a folder at a time, because two sweeps would both write to models/."""

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
    """Wait until no other sweep is training in this folder, then hold the lock during the block.

    Before and after the block, remove the half-written files that killed processes left in ``models`` and ``cached``.
    The sweep writes its trained runs to ``models``; ``cached`` contains the run cache and the lock file.
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
    """Return a digest of the current folder's path, which serves as an ID for the sweeps trained in that folder."""
    return hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]


def is_training(cached: Path, session: str) -> bool:
    """Return True if a process, possibly this one, is training a sweep in the folder that ``session`` identifies."""
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
