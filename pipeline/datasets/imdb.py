"""IMDb's film reviews.

Several versions of the archive are in use, some with and some without the unlabelled reviews. The checksums therefore
cover the labelled reviews, not the archive.
"""

import hashlib
import re
import tarfile
from pathlib import Path, PurePosixPath

from pipeline.datasets.fetch import fetch
from pipeline.datasets.raw import RawData, RawSplit, labels
from pipeline.datasets.text import Text

URL = "https://ai.stanford.edu/~amaas/data/sentiment/aclImdb_v1.tar.gz"
VAL_EXAMPLES = 2_500
CLASSES = ["neg", "pos"]
REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/\d+_\d+\.txt")
DIGESTS = {
    "train": "fd2f9aacf1a39c0652536e6d8c0a7f53c444a847715fa9701ad5786ba59ba885",
    "test": "88d6ef40ef24605ebb8a664f7ab519512200876945f501586e7bd1879b3eea4c",
}
"""Maps each split to the SHA-256 digest of its reviews. The reviews are hashed in the order of their paths. For each
review, the path, a NUL byte, the content and another NUL byte are hashed."""


class IMDb(Text):
    """25,000 film reviews for training and 25,000 for testing, half of them negative and half positive.

    Source: Maas et al. 2011, "Learning Word Vectors for Sentiment Analysis".
    """

    name: str = "imdb"

    def load(self, root: Path) -> RawData:
        splits = reviews(root)
        train, test = splits["train"], splits["test"]
        return RawData(source=URL, train=train, test=test, val_size=VAL_EXAMPLES, classes=CLASSES)


def reviews(root: Path) -> dict[str, RawSplit]:
    """Return the reviews of the training and test splits, keyed by split and sorted by path.

    The archive comes from an earlier download under ``root``, from `DATA_MIRROR`, or from the official URL.

    Raises:
        UserError: neither `DATA_MIRROR` nor the official URL provides the published reviews.
    """
    return fetch("imdb/aclImdb_v1.tar.gz", [URL], root, _read)


def _read(archive: Path) -> dict[str, RawSplit]:
    """Return the reviews in ``archive``, keyed by split and sorted by path, without unpacking the archive to disk."""
    reviews: dict[str, dict[str, bytes]] = {"train": {}, "test": {}}
    with tarfile.open(archive, "r|*") as files:
        for member in files:
            path = PurePosixPath(member.name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{member.name!r} in the archive points outside the archive's folder")
            match = REVIEW.fullmatch(member.name.removeprefix("./"))
            content = files.extractfile(member) if match and member.isfile() else None
            if match and content:
                reviews[match[1]][match[0]] = content.read()
    return {split: _verified(split, texts) for split, texts in reviews.items()}


def _verified(split: str, reviews: dict[str, bytes]) -> RawSplit:
    digest = hashlib.sha256()
    paths = sorted(reviews)
    for path in paths:
        digest.update(path.encode() + b"\0" + reviews[path] + b"\0")
    if digest.hexdigest() != DIGESTS[split]:
        counts = ", ".join(f"{sum(f'/{name}/' in path for path in paths)} {name}" for name in CLASSES)
        raise ValueError(f"its {split} reviews ({counts}) are not the published ones, 12500 neg and 12500 pos")
    numbers = [CLASSES.index(path.split("/")[2]) for path in paths]
    return RawSplit([reviews[path].decode() for path in paths], labels(numbers, len(CLASSES)))
