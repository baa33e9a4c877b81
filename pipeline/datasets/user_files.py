"""A user's own files, which DVC is only told the path of: digests of their content."""

import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from pipeline.datasets.settings import AnyDataset
from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.networks.settings import AnyModel, Model, weights_file


def digests(settings: AnyDataset | AnyModel, root: Path, memory: Path) -> dict[str, str]:
    """Digest the files that settings name: a data set's folder, table or word vectors, a model's weights.

    Args:
        settings: of a data set or a model.
        root: where relative paths begin.
        memory: a JSON file of digests by size and time of change, so that unchanged files are not read again.

    Returns:
        SHA-256 of all content below each path, by the path as the settings have it; empty where they name none.

    Raises:
        UserError: a path does not exist.
    """
    if isinstance(settings, Model):
        named = [weights_file(settings)]
    else:
        named = [getattr(settings, name, None) for name in ("path", "test_path", "vectors")]
    paths = [path for path in named if path]
    known = _known(memory)
    seen: dict[str, list[int | str]] = {}
    found = {}
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
        found[str(path)] = whole.hexdigest()
    if paths:
        write_text(memory, json.dumps(seen))
    return found


def digest(file: Path) -> str:
    """Return the SHA-256 of a file's content, which is read again only if it has changed.

    Raises:
        UserError: there is no such file.
    """
    if not file.is_file():
        raise missing(file)
    stat = file.stat()
    return _digest(file, stat.st_size, stat.st_mtime_ns)


def missing(path: Path) -> UserError:
    """Return the error of a file or folder that settings name, and that is not there."""
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
    """Read the digests of last time; without them, everything is read again."""
    try:
        known: dict[str, list[int | str]] = json.loads(memory.read_text(encoding="utf-8"))
        return known
    except (OSError, ValueError):
        return {}
