"""IMDb: 25,000 + 25,000 film reviews, half of them negative and half positive.

Source: Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis". The archive is packed in more ways than one
(with and without the unlabelled reviews), so that not its checksum is verified but every byte of the reviews.
"""

import hashlib
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.datasets.fetch import fetch
from pipeline.datasets.published import Examples, Published, labels

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
VAL_EXAMPLES = 2_500
CLASSES = ["neg", "pos"]
REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/\d+_\d+\.txt")
DIGESTS = {
    "train": "fd2f9aacf1a39c0652536e6d8c0a7f53c444a847715fa9701ad5786ba59ba885",
    "test": "88d6ef40ef24605ebb8a664f7ab519512200876945f501586e7bd1879b3eea4c",
}
"""SHA-256 over the reviews of a split in the order of their paths, each as path, NUL, bytes, NUL."""


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """The reviews, from ``DATA_MIRROR``, their published address, or where an earlier call left them under ``root``.

    Raises:
        UserError: no address has them, or what it has is not the published reviews.
    """
    splits = reviews(root)
    return Published(
        kind="text",
        source=URL,
        train=splits["train"],
        test=splits["test"],
        val_size=VAL_EXAMPLES,
        classes=CLASSES,
    )


def reviews(root: Path) -> dict[str, Examples]:
    """Return the reviews of both splits, in the order of their paths, from where `load` finds them.

    Raises:
        UserError: no address has them, or what it has is not the published reviews.
    """
    return fetch("imdb/aclImdb_v1.tar.gz", [URL], root, _read)


def _read(archive: Path) -> dict[str, Examples]:
    """The reviews in ``archive``, in the order of their paths; nothing is unpacked to the disk."""
    reviews: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    with tarfile.open(archive, "r|*") as files:
        for member in files:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{member.name!r} in it would escape from the folder it is unpacked to")
            found = REVIEW.fullmatch(member.name.removeprefix("./"))
            content = files.extractfile(member) if found and member.isfile() else None
            if found and content:
                reviews[found[1]][found[0]] = content.read()
    return {split: _verified(split, found) for split, found in reviews.items()}


def _verified(split: str, reviews: dict[str, bytes]) -> Examples:
    digest = hashlib.sha256()
    paths = sorted(reviews)
    for path in paths:
        digest.update(path.encode() + b"\0" + reviews[path] + b"\0")
    if digest.hexdigest() != DIGESTS[split]:
        counts = ", ".join(f"{sum(f'/{name}/' in path for path in paths)} {name}" for name in CLASSES)
        raise ValueError(f"its {split} reviews ({counts}) are not the published ones, 12500 neg and 12500 pos")
    numbers = [CLASSES.index(path.split("/")[2]) for path in paths]
    return Examples([reviews[path].decode() for path in paths], labels(numbers, len(CLASSES)))
