"""One's own text: a UTF-8 file, or a folder of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.datasets import tokens
from pipeline.datasets.published import Published
from pipeline.errors import UserError


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """Read the text under `path`; files of a folder follow each other in the order of their paths, hidden ones do not.

    Raises:
        UserError: there is none, it is empty, or a file is not UTF-8.
    """
    path = root / settings["path"]
    if path.is_dir():
        inside = (file for file in path.rglob("*") if file.is_file())
        files = sorted(file for file in inside if not any(part[0] == "." for part in file.relative_to(path).parts))
    elif path.is_file():
        files = [path]
    else:
        raise UserError(f"{path}: no such file or folder; set the dataset's path, from the project's root or absolute")
    text = "\n".join(filter(None, (read(file) for file in files)))
    if not text:
        raise UserError(f"{path}: no text in it")
    return tokens.published(str(settings["path"]), text, settings)


def read(file: Path) -> str:
    """Return the text of a file.

    Raises:
        UserError: it is not UTF-8.
    """
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: a text that is not UTF-8 (at byte {error.start})") from None
