"""The user's own files, of which DVC sees only the paths: digests of their content."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import write_text


def digests(paths: Iterable[str], root: Path, memory: Path) -> dict[str, str]:
    """Digest files and folders.

    Args:
        paths: of the files and folders, as settings name them.
        root: where relative paths begin.
        memory: a JSON file of digests by size and time of change, so that unchanged files are not read again.

    Returns:
        SHA-256 of all content below each path, by path.

    Raises:
        UserError: a path does not exist.
    """
    known, seen = _known(memory), dict[str, list[int | str]]()
    by_path = {}
    for path in paths:
        if not (root / path).exists():
            raise missing(root / path)
        whole = hashlib.sha256()
        for file in _files(root / path):
            stat = file.stat()
            key, size, changed = str(file.resolve()), stat.st_size, stat.st_mtime_ns
            entry = known.get(key)
            if entry is None or entry[:2] != [size, changed]:
                entry = [size, changed, _digest(file, size, changed)]
            seen[key] = entry
            whole.update(f"{file.relative_to(root / path).as_posix()}\0{entry[2]}\n".encode())
        by_path[path] = whole.hexdigest()
    if by_path:
        write_text(memory, json.dumps(seen))
    return by_path


def digest(file: Path) -> str:
    """Return the SHA-256 of a file's content; the file is read again only if it has changed.

    Raises:
        UserError: there is no such file.
    """
    if not file.is_file():
        raise missing(file)
    stat = file.stat()
    return _digest(file, stat.st_size, stat.st_mtime_ns)


def missing(path: Path) -> UserError:
    """Return the error for a file or folder that settings name and that does not exist."""
    return UserError(f"{path}: no such file or folder; set it from the project's root, or absolute")


@cache
def _digest(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        return iter([path])
    return iter(sorted(file for file in path.rglob("[!.]*") if file.is_file()))


def _known(memory: Path) -> dict[str, list[int | str]]:
    """Read the digests of last time; without them, all files are read again."""
    try:
        known: dict[str, list[int | str]] = json.loads(memory.read_text(encoding="utf-8"))
        return known
    except (OSError, ValueError):
        return {}
