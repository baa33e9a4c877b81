"""Digests of the user's own files. DVC itself sees only their paths in params.yaml."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import write_text


def digests(paths: Sequence[str], root: Path, memory: Path) -> dict[str, str]:
    """Return a dictionary that maps each path to a digest of its file, or of all files in its folder.

    The digest of a folder covers the names and contents of its files, except files whose names begin with a dot.

    Args:
        paths: files or folders, relative to ``root`` or absolute.
        root: the project's folder.
        memory: a JSON file that keeps the digest, size and modification time of each file, so that unchanged files
            are not read again.

    Raises:
        UserError: a path does not exist.
    """
    known = _known(memory)
    seen: dict[str, list[int | str]] = {}
    result = {}
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
        result[path] = whole.hexdigest()
    if paths:
        write_text(memory, json.dumps(seen))
    return result


def digest(file: Path) -> str:
    """Return the SHA-256 of a file's content. A process reads an unchanged file only once.

    Raises:
        UserError: the file does not exist.
    """
    if not file.is_file():
        raise missing(file)
    stat = file.stat()
    return _digest(file, stat.st_size, stat.st_mtime_ns)


def missing(path: Path) -> UserError:
    """Return the error for a path in params.yaml that does not exist."""
    return UserError(f"{path}: no such file or folder; write it from the project's root, or as an absolute path")


@cache
def _digest(file: Path, _size: int, _changed: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        return iter([path])
    return iter(sorted(file for file in path.rglob("[!.]*") if file.is_file()))


def _known(memory: Path) -> dict[str, list[int | str]]:
    """Return the entries of the file ``memory``, or an empty dictionary if the file is missing or damaged.

    If there are no entries, all of the user's files are read again.
    """
    try:
        known: dict[str, list[int | str]] = json.loads(memory.read_text(encoding="utf-8"))
        return known
    except (OSError, ValueError):
        return {}
