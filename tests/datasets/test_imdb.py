"""IMDb's real loading code, tested on small archives."""

from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets
from pipeline.datasets import imdb
from pipeline.errors import UserError
from tests.datasets.reviews import REVIEWS, Mirror


def prepare(folder: Path) -> datasets.Summary:
    return datasets.prepare(imdb.IMDb(), folder / "data", folder)


def test_reviews_become_word_numbers(mirror: Mirror, tmp_path: Path) -> None:
    mirror(REVIEWS)
    summary = prepare(tmp_path)
    assert (summary.kind, summary.classes) == ("text", ["neg", "pos"])
    assert summary.examples == {"train": 30, "val": 10, "test": 40}
    train = datasets.read(tmp_path / "data", "train", max_length=6)
    assert train.x.shape == (30, 6)  # words: film, number, comma, neg or pos, full stop, it
    assert train.y.bincount().tolist() == [15, 15]
    whole = datasets.read(tmp_path / "data", "val", max_length=100)
    assert whole.x.shape[1] == 10
    test = datasets.read(tmp_path / "data", "test", max_length=100)
    assert (test.x == 1).sum() > 0  # "tested" does not occur in the training split
    assert "film" in str(datasets.example(tmp_path / "data"))


def test_the_packing_does_not_matter(mirror: Mirror, tmp_path: Path) -> None:
    """The digest is the same for another order, another compression or additional unlabelled reviews."""
    mirror(REVIEWS)
    first = prepare(tmp_path)
    (tmp_path / ".cache" / "downloads" / "imdb" / "aclImdb_v1.tar.gz").unlink()
    others = {"./" + name: REVIEWS[name] for name in reversed(REVIEWS)}
    mirror({"aclImdb/README": "x", "aclImdb/train/unsup/0_0.txt": "y", **others}, "w:xz")
    assert prepare(tmp_path) == first


def changed(**changes: str | None) -> dict[str, str]:
    files: dict[str, Any] = {**REVIEWS, **changes}
    return {name: content for name, content in files.items() if content is not None}


FIRST, MOVED = "aclImdb/train/neg/0_3.txt", "aclImdb/train/pos/0_3.txt"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (changed(**{FIRST: "altered"}), r"its train reviews \(20 neg, 20 pos\) are not the published ones"),
        (changed(**{FIRST: None, MOVED: REVIEWS[FIRST]}), r"its train reviews \(19 neg, 21 pos\)"),
        (changed(**{FIRST: None}), r"its train reviews \(19 neg, 20 pos\)"),
        ({}, r"its train reviews \(0 neg, 0 pos\)"),
        (changed(**{"../../escaped.txt": "x"}), r"'../../escaped.txt' in the archive points outside"),
        (changed(**{"/etc/escaped.txt": "x"}), r"'/etc/escaped.txt' in the archive points outside"),
    ],
    ids=["altered", "mislabelled", "one short", "empty", "escapes upwards", "escapes to the root"],
)
def test_other_content_is_one_line(mirror: Mirror, tmp_path: Path, files: dict[str, str], says: str) -> None:
    mirror(files)
    with pytest.raises(UserError, match=says) as raised:
        prepare(tmp_path)
    assert "\n" not in str(raised.value)
    assert "no connection" in str(raised.value)  # the published address was tried next
    assert not (tmp_path / "data").exists()
    assert not list((tmp_path / ".cache").rglob("*.gz"))
    assert not list(tmp_path.rglob("escaped.txt"))


@pytest.mark.parametrize("damage", ["truncated", "altered", "no archive"])
def test_a_damaged_archive_is_one_line(mirror: Mirror, tmp_path: Path, damage: str) -> None:
    mirror(REVIEWS)
    file = tmp_path / "mirror" / "imdb" / "aclImdb_v1.tar.gz"
    content = file.read_bytes()
    middle = len(content) // 2
    altered = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    file.write_bytes({"truncated": content[:middle], "altered": altered, "no archive": b"<html>"}[damage])
    with pytest.raises(UserError, match="DATA_MIRROR") as raised:
        prepare(tmp_path)
    assert "\n" not in str(raised.value)
