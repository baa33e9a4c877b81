"""Functions that replace a file or a folder either completely or not at all."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

DRAFT = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")
"""The name of a draft: a dot, the target's name, the ID of the process that writes the draft, and a random part."""


def root() -> Path:
    """Return the project's folder: DVC_ROOT if DVC is running an experiment in a copy, otherwise the current folder."""
    return Path(os.environ.get("DVC_ROOT") or ".")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a draft next to ``path``, and rename the draft to ``path`` if the block succeeds.

    The block creates the draft as a file or a folder. If the block fails, ``path`` does not change and the draft is
    removed.

    Raises:
        OSError: writing or renaming fails; the error's file name is ``path``.
    """
    if not path.name:  # such as "."
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path)
    try:
        yield draft
        if path.is_dir() and draft.is_file():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if path.is_dir():
            _replace_folder(path, draft)
        else:
            os.replace(draft, path)
    except OSError as error:
        error.filename = str(path)  # the error names the draft, or no file if the disk is full
        raise
    finally:
        _remove(draft)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, replacing any existing content completely or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_parts(path: Path, parts: Sequence[bytes]) -> None:
    """Write the joined ``parts`` to ``path``, replacing any existing content completely or not at all."""
    with replacing(path) as draft, draft.open("wb") as file:
        file.writelines(parts)


def clear_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left behind in ``folder``. Drafts of running processes are kept."""
    import psutil  # imported here, because a model that MLflow serves includes this module but not psutil

    for path in folder.glob(".*"):
        draft = DRAFT.fullmatch(path.name)
        if draft and not psutil.pid_exists(int(draft[1])):
            _remove(path)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}")


def _replace_folder(path: Path, draft: Path) -> None:
    """Replace a folder in two steps, because a single rename cannot replace a folder that is not empty."""
    before = _draft(path)
    os.replace(path, before)
    try:
        os.replace(draft, path)
    except OSError:
        os.replace(before, path)
        raise
    _remove(before)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
