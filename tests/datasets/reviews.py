"""An archive of reviews in IMDb's published format."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

REVIEWS = {
    f"aclImdb/{part}/{label}/{number}_{3 if label == 'neg' else 9}.txt": f"Film {number}, {label}.<br />It's {part}ed!"
    for part in ("train", "test")
    for label in ("neg", "pos")
    for number in range(20)
}
Mirror = Callable[..., None]


def pack(file: Path, files: dict[str, str], mode: str = "w:gz") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content.encode())
            tar.addfile(info, io.BytesIO(content.encode()))


def digest(part: str) -> str:
    """Return the digest of the reviews' paths and bytes, each followed by NUL, sorted by path."""
    packed = b"".join(
        path.encode() + b"\0" + REVIEWS[path].encode() + b"\0" for path in sorted(REVIEWS) if f"/{part}/" in path
    )
    return hashlib.sha256(packed).hexdigest()
