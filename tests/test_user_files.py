"""Digests of the user's own files; params.yaml contains only their paths, so DVC does not see their content."""

import os
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from pipeline.datasets import AnyDataset
from pipeline.errors import UserError
from pipeline.user_files import digests


def dataset(**settings: object) -> AnyDataset:
    found: AnyDataset = TypeAdapter(AnyDataset).validate_python(settings)
    return found


@pytest.fixture
def pictures(tmp_path: Path) -> AnyDataset:
    for name in ("a", "b"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        (tmp_path / "pictures" / name / "1.png").write_bytes(name.encode())
    return dataset(name="image-folder", path="pictures")


def test_every_change_of_content_or_name_changes_the_digest(pictures: AnyDataset, tmp_path: Path) -> None:
    def found() -> dict[str, str]:
        return digests(pictures.files, tmp_path, tmp_path / "memory.json")

    first = tmp_path / "pictures" / "a" / "1.png"
    seen = [found()]
    first.write_bytes(b"other")
    seen.append(found())
    first.rename(first.with_name("2.png"))
    seen.append(found())
    (tmp_path / "pictures" / "a" / "3.png").write_bytes(b"new")
    seen.append(found())
    assert all(list(each) == ["pictures"] for each in seen)
    assert len({each["pictures"] for each in seen}) == 4


def test_times_and_places_do_not_count(pictures: AnyDataset, tmp_path: Path) -> None:
    """Clones have the same digests even if they are in different folders and were checked out at different times."""
    here = digests(pictures.files, tmp_path, tmp_path / "memory.json")
    for file in (tmp_path / "pictures").rglob("*.png"):
        os.utime(file, (1, 1))
    assert digests(pictures.files, tmp_path, tmp_path / "memory.json") == here
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "pictures").rename(tmp_path / "elsewhere" / "pictures")
    assert digests(pictures.files, tmp_path / "elsewhere", tmp_path / "memory.json") == here


def test_a_damaged_file_of_known_digests_does_not_matter(pictures: AnyDataset, tmp_path: Path) -> None:
    here = digests(pictures.files, tmp_path, tmp_path / "memory.json")
    (tmp_path / "memory.json").write_text("{")
    assert digests(pictures.files, tmp_path, tmp_path / "memory.json") == here


def test_word_vectors_count_and_built_in_data_do_not(tmp_path: Path) -> None:
    (tmp_path / "vectors.txt").write_text("good 1 2\n")
    imdb = dataset(name="imdb", vectors="vectors.txt")
    assert list(digests(imdb.files, tmp_path, tmp_path / "memory.json")) == ["vectors.txt"]
    assert digests(dataset(name="mnist").files, tmp_path, tmp_path / "memory.json") == {}
    (tmp_path / "vectors.txt").unlink()
    with pytest.raises(UserError, match=r"vectors\.txt: no such file or folder"):
        digests(imdb.files, tmp_path, tmp_path / "memory.json")


def test_a_table_and_its_test_file_count(tmp_path: Path) -> None:
    settings = {"name": "table", "path": "a.csv", "target": "y", "test_path": "b.csv"}
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("x,y\n1,2\n")
    seen = [digests(dataset(**settings).files, tmp_path, tmp_path / "memory.json")]
    (tmp_path / "b.csv").write_text("x,y\n1,3\n")
    seen.append(digests(dataset(**settings).files, tmp_path, tmp_path / "memory.json"))
    assert list(seen[0]) == ["a.csv", "b.csv"]
    assert [seen[0][name] == seen[1][name] for name in ("a.csv", "b.csv")] == [True, False]
