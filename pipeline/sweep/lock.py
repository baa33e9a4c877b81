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

    What killed workers left half-written, now or in a sweep before, is removed.

    Args:
        models: where the sweep writes.
        cached: the folder of the run cache, which holds the lock too.
        warn: called with one line if it has to wait.
    """
    cached.mkdir(exist_ok=True)
    lock = FileLock(_path(cached, session()))
    try:
        lock.acquire(blocking=False)
    except Timeout:
        warn("another sweep trains in this folder; this one waits until it has ended")
        lock.acquire()
    try:
        _tidy(models, cached)
        yield
    finally:
        _tidy(models, cached)
        lock.release()


def session() -> str:
    """Return what tells the sweeps of this folder from those of another."""
    return hashlib.sha256(os.fsencode(Path.cwd())).hexdigest()[:16]


def is_training(cached: Path, of: str) -> bool:
    """Return True if a sweep is being trained in the folder with that `session`, be it by this process."""
    lock = FileLock(_path(cached, of))
    try:
        with lock.acquire(blocking=False):
            return False
    except Timeout:
        return True


def _path(cached: Path, of: str) -> Path:
    return cached / f"train-{of}.lock"


def _tidy(models: Path, cached: Path) -> None:
    clear_drafts(models)
    cache.clear(cached)
