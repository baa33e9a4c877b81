"""Functions that replace a file or a folder completely, or leave it unchanged if anything fails."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

DRAFT = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")
"""The name of a draft: a dot, the name of the final file, the ID of the writing process, and a random part."""


def root() -> Path:
    """Return the project's folder: DVC_ROOT if DVC runs an experiment in a copy of it, otherwise the current folder."""
    return Path(os.environ.get("DVC_ROOT") or ".")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield the path of a draft (a file or a folder) that replaces ``path`` at the end of the block.

    The block must create the draft. If the block fails, the draft is removed and ``path`` does not change.

    Raises:
        OSError: the draft could not be written or renamed; the error names ``path``.
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
        error.filename = str(path)  # otherwise the error names the draft, or no file at all if the disk is full
        raise
    finally:
        _remove(draft)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8. If writing fails, an existing file keeps its old content."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_parts(path: Path, parts: Sequence[bytes]) -> None:
    """Write all ``parts`` to ``path``, one after another. If writing fails, an existing file keeps its old content."""
    with replacing(path) as draft, draft.open("wb") as file:
        file.writelines(parts)


def clear_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left behind in ``folder``. Drafts of running processes are kept."""
    import psutil  # imported here, because models that MLflow serves include this module but not psutil

    for path in folder.glob(".*"):
        draft = DRAFT.fullmatch(path.name)
        if draft and not psutil.pid_exists(int(draft[1])):
            _remove(path)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}")


def _replace_folder(path: Path, draft: Path) -> None:
    """Replace a folder with a draft in two steps, because a rename cannot replace a folder that is not empty."""
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
