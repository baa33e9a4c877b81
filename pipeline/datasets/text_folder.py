"""One's own texts: `<class>/*.txt`, or `train/<class>/*.txt` and so on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.datasets import folders
from pipeline.datasets.published import Published
from pipeline.errors import UserError


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """The texts under `path`.

    Raises:
        UserError: the folder is not laid out so, or a text is not UTF-8.
    """
    return folders.load(settings, root, "text", (".txt",), lambda files: [_text(file) for file in files])


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: a text that is not UTF-8 (at byte {error.start})") from None
