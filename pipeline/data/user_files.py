"""A user's own files, which DVC is only told the path of: digests of their content."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import UserError
from pipeline.files import write_text
from pipeline.settings import AnyDataset


def digests(dataset: AnyDataset, root: Path, memory: Path) -> dict[str, str]:
    """Digest the files that a data set's settings name: its folder or table, its word vectors.

    Args:
        dataset: the settings.
        root: where relative paths begin.
        memory: a JSON file of digests by size and time of change, so that unchanged files are not read again.

    Returns:
        SHA-256 of all content below each path, by the path as the settings have it; empty where they name none.

    Raises:
        UserError: a path does not exist.
    """
    paths = [path for name in ("path", "test_path", "vectors") if (path := getattr(dataset, name, None))]
    known = _known(memory)
    seen: dict[str, list[int | str]] = {}
    found = {}
    for path in paths:
        if not (root / path).exists():
            raise UserError(f"{root / path}: no such file or folder; set it from the project's root, or absolute")
        whole = hashlib.sha256()
        for file in _files(root / path):
            stat = file.stat()
            key, size, changed = str(file.resolve()), stat.st_size, stat.st_mtime_ns
            entry = known.get(key)
            if entry is None or entry[:2] != [size, changed]:
                entry = [size, changed, hashlib.sha256(file.read_bytes()).hexdigest()]
            seen[key] = entry
            whole.update(f"{file.relative_to(root / path).as_posix()}\0{entry[2]}\n".encode())
        found[str(path)] = whole.hexdigest()
    if paths:
        write_text(memory, json.dumps(seen))
    return found


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
