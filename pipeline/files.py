"""Files appear whole or not at all."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

DRAFT = re.compile(r"\..+\.(\d+)-[0-9a-f]{8}")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary neighbour of ``path`` to write to; rename it to ``path`` if the block succeeds.

    The neighbour may be written as a file or made as a folder. A failing block leaves ``path`` as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = _draft(path)
    try:
        yield draft
        if path.is_dir():  # a rename does not replace a folder
            _replace_folder(path, draft)
        else:
            os.replace(draft, path)
    except OSError as error:
        error.filename = str(path)  # and not of the neighbour, or none, as where a disk is full
        raise
    finally:
        if draft.is_dir():
            shutil.rmtree(draft, ignore_errors=True)
        else:
            draft.unlink(missing_ok=True)


def _replace_folder(path: Path, draft: Path) -> None:
    before = _draft(path)
    os.replace(path, before)
    try:
        os.replace(draft, path)
    except OSError:
        os.replace(before, path)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}-{uuid4().hex[:8]}")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path``, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def clear_drafts(folder: Path) -> None:
    """Remove what `replacing` was at in ``folder`` in processes that were killed."""
    import psutil  # not at the top: a model that MLflow serves has this module, and no need of that one

    for draft in folder.glob(".*"):
        named = DRAFT.fullmatch(draft.name)
        if named and not psutil.pid_exists(int(named[1])):
            shutil.rmtree(draft) if draft.is_dir() else draft.unlink(missing_ok=True)
