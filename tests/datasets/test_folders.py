"""The user's own pictures and texts in folders."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline import datasets
from pipeline.datasets.image_folder import ImageFolder
from pipeline.datasets.text_folder import TextFolder
from pipeline.errors import UserError
from tests.helpers.data import COLOURS, draw_pictures, write_texts


def pictures(folder: Path, **changes: Any) -> datasets.Summary:
    return datasets.prepare(ImageFolder(path="mine", **changes), folder / "data", folder)


def texts(folder: Path, **changes: Any) -> datasets.Summary:
    return datasets.prepare(TextFolder(path="mine", vocabulary_size=100, **changes), folder / "data", folder)


def test_folders_of_classes_are_split(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "mine")
    (tmp_path / "mine" / "red" / "notes.txt").write_text("no picture")
    summary = pictures(tmp_path)
    assert summary.classes == ["blue", "green", "red"]
    assert summary.examples == {"train": 21, "val": 3, "test": 6}
    assert summary.input_shape == [3, 9, 12]
    for name in ("train", "val", "test"):
        part = datasets.read(tmp_path / "data", name)
        assert len(set(Counter(part.y.tolist()).values())) == 1  # all classes have the same share
        for x, y in zip(part.x, part.y, strict=True):
            assert tuple(x[:, 4, 5].tolist()) == COLOURS[summary.classes[y]]


def test_folders_of_splits_stay_as_they_are(tmp_path: Path) -> None:
    for split, count in (("train", 8), ("val", 2), ("test", 3)):
        draw_pictures(tmp_path / "mine" / split, count)
    summary = pictures(tmp_path)
    assert summary.examples == {"train": 24, "val": 6, "test": 9}
    assert len(set(datasets.read(tmp_path / "data", "train", subset=8).y.tolist())) == 3  # a subset has all classes
    test = datasets.read(tmp_path / "data", "test")
    assert [tuple(x[:, 0, 0].tolist()) for x in test.x] == [colour for colour in COLOURS.values() for _ in range(3)]


def test_a_missing_test_folder_is_split_off(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "mine" / "train")
    draw_pictures(tmp_path / "mine" / "val", 2)
    assert pictures(tmp_path).examples == {"train": 24, "val": 6, "test": 6}


def test_splits_of_different_sizes_are_one_line(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "mine" / "train")
    draw_pictures(tmp_path / "mine" / "test", 2, (7, 7))
    with pytest.raises(UserError, match=r"the splits have pictures of different sizes \(7 x 7, 9 x 12\)"):
        pictures(tmp_path)
    assert pictures(tmp_path, size=[7, 7]).examples["test"] == 6


def test_pictures_are_converted_to_the_size_and_channels(tmp_path: Path) -> None:
    draw_pictures(tmp_path / "mine", kind="jpg")
    Image.new("RGBA", (50, 40), (230, 0, 0, 128)).save(tmp_path / "mine" / "red" / "other.png")
    Image.new("P", (5, 4)).save(tmp_path / "mine" / "red" / "palette.gif")  # ImageFolder ignores GIF files
    assert pictures(tmp_path, size=[8, 6], channels=1).input_shape == [1, 8, 6]
    grey = datasets.read(tmp_path / "data", "train").x
    assert set(np.unique(grey)) <= {
        *range(26, 32),
        *range(138, 144),
        *range(66, 72),
    }  # the luma of the colours according to ITU-R 601


def test_texts_in_folders(tmp_path: Path) -> None:
    write_texts(tmp_path / "mine")
    summary = texts(tmp_path)
    assert (summary.kind, summary.classes, summary.input_shape) == ("text", ["bad", "good"], [])
    assert summary.examples == {"train": 14, "val": 2, "test": 4}
    assert datasets.read(tmp_path / "data", "val", max_length=3).x.shape == (2, 3)
    (tmp_path / "mine" / "good" / "empty.txt").write_text("")
    assert sum(texts(tmp_path).examples.values()) == 21  # an empty text is also an example


def damage_pictures(mine: Path, kind: str) -> None:
    draw_pictures(mine)
    match kind:
        case "nothing":
            for name in COLOURS:
                for file in (mine / name).iterdir():
                    file.unlink()
                (mine / name).rmdir()
        case "one class":
            for name in ("red", "green"):
                (mine / name).rename(mine.parent / name)
        case "empty class":
            for file in (mine / "red").iterdir():
                file.unlink()
        case "text":
            (mine / "red" / "3.png").write_text("no picture")
        case "cut":
            noise = np.random.default_rng(0).integers(256, size=(60, 60, 3), dtype=np.uint8)
            Image.fromarray(noise).save(mine / "red" / "3.png")
            (mine / "red" / "3.png").write_bytes((mine / "red" / "3.png").read_bytes()[:5000])
        case "sizes":
            Image.new("RGB", (5, 5)).save(mine / "red" / "3.png")
        case "few":
            for file in sorted((mine / "red").iterdir())[1:]:
                file.unlink()
        case "other classes":
            draw_pictures(mine.parent / "new" / "train")
            draw_pictures(mine.parent / "new" / "test", 2)
            (mine.parent / "new" / "test" / "red").rename(mine.parent / "new" / "test" / "rot")
            mine.rename(mine.parent / "old")
            (mine.parent / "new").rename(mine)
        case "gone":
            mine.rename(mine.parent / "elsewhere")


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nothing", "mine: needs a folder for each of two or more classes, and has none"),
        ("one class", "mine: needs a folder for each of two or more classes, and has only 'blue'"),
        ("empty class", r"mine/red: a class without files; their names must end in .jpg, .jpeg, .png"),
        ("text", r"mine/red/3.png: cannot be decoded as a picture \(no known format\)"),
        ("cut", r"mine/red/3.png: cannot be decoded as a picture \(.*truncated"),
        ("sizes", r"mine/red/3.png: 5 x 5 pixels, but 0.png has 9 x 12; set the dataset's size"),
        ("few", r"mine: too few examples \(10 of 'blue', 10 of 'green', 1 of 'red'\) to set 0.2 aside for testing"),
        ("other classes", "mine/test: its classes differ from those of .*mine/train in red, rot"),
        ("gone", "mine: no such folder; set the dataset's path"),
    ],
)
def test_bad_pictures_are_one_line(tmp_path: Path, kind: str, says: str) -> None:
    damage_pictures(tmp_path / "mine", kind)
    with pytest.raises(UserError, match=says) as raised:
        pictures(tmp_path)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "data").exists()


def test_a_text_that_is_not_utf8_is_one_line(tmp_path: Path) -> None:
    write_texts(tmp_path / "mine")
    (tmp_path / "mine" / "good" / "3.txt").write_bytes("naïve".encode("latin-1"))
    with pytest.raises(UserError, match=r"mine/good/3.txt: a text that is not UTF-8 \(at byte 2\)"):
        texts(tmp_path)


VECTORS = "day 1 2 3\nthe -1 0.5 2e-1\nunheard-of 9 9 9\n"


def test_pretrained_vectors_are_loaded_for_the_vocabulary(tmp_path: Path) -> None:
    write_texts(tmp_path / "mine")
    (tmp_path / "vectors.txt").write_text(VECTORS)
    summary = texts(tmp_path, vectors="vectors.txt")
    train = datasets.read(tmp_path / "data", "train", max_length=20)
    assert train.vectors is not None
    assert train.vectors.shape == (summary.vocabulary_size, 3)
    rows = [row.tolist() for row in train.vectors]
    assert [1, 2, 3] in rows
    assert pytest.approx([-1, 0.5, 0.2]) in rows
    assert [9, 9, 9] not in rows
    assert rows[0] == [0, 0, 0]
    day = rows.index([1, 2, 3])
    assert (train.x == day).sum(dim=1).tolist() == [1] * len(train)  # each text contains "day" once


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "vectors.txt: no such file"),
        (b"day 1 2 3\nthe 1 2\n", "vectors.txt: line 2 has 2 numbers, the first has 3"),
        (b"day 1 2 x\n", "vectors.txt: line 1 is not a word and its numbers"),
        (b"day\n", "vectors.txt: line 1 has 0 numbers"),
        (b"day 1 2\n\xff 1 2\n", "vectors.txt: not UTF-8"),
        (b"unheard-of 1 2\n", "vectors.txt: has no vector for any word of the vocabulary"),
        (b"", "vectors.txt: has no vector for any word of the vocabulary"),
    ],
)
def test_bad_vectors_are_one_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    write_texts(tmp_path / "mine")
    if content is not None:
        (tmp_path / "vectors.txt").write_bytes(content)
    with pytest.raises(UserError, match=says):
        texts(tmp_path, vectors="vectors.txt")
