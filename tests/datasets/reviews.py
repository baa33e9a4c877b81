"""Reviews for an archive in IMDb's published format."""

import hashlib
from collections.abc import Callable

REVIEWS = {
    f"aclImdb/{part}/{label}/{number}_{3 if label == 'neg' else 9}.txt": f"Film {number}, {label}.<br />It's {part}ed!"
    for part in ("train", "test")
    for label in ("neg", "pos")
    for number in range(20)
}
Mirror = Callable[..., None]


def digest(part: str) -> str:
    """Return the digest of the reviews, sorted by path: each path and each content is followed by a NUL byte."""
    packed = b"".join(
        path.encode() + b"\0" + REVIEWS[path].encode() + b"\0" for path in sorted(REVIEWS) if f"/{part}/" in path
    )
    return hashlib.sha256(packed).hexdigest()
