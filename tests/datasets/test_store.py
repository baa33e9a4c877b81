import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import datasets
from pipeline.datasets import Summary
from pipeline.datasets.digits import Digits
from pipeline.errors import UserError


def test_the_splits_have_each_of_the_digits_once(digits: Path, summary: Summary, tmp_path: Path) -> None:
    parts = {name: datasets.read(digits, name) for name in ("train", "val", "test")}
    assert {name: len(part.y) for name, part in parts.items()} == {"train": 1077, "val": 270, "test": 450}
    assert summary.examples == {"train": 1077, "val": 270, "test": 450}
    pictures = Digits().load(tmp_path).train.x.reshape(1797, -1)
    stored = torch.cat([part.x for part in parts.values()]).reshape(1797, -1)
    assert sorted(map(bytes, stored.numpy())) == sorted(map(bytes, pictures))


def test_the_splits_are_stratified(digits: Path) -> None:
    for name in ("train", "val", "test"):
        shares = torch.bincount(datasets.read(digits, name).y.long()) / len(datasets.read(digits, name).y)
        assert shares.min() > 0.09
        assert shares.max() < 0.11


def test_pictures_are_stored_as_bytes(digits: Path, summary: Summary) -> None:
    part = datasets.read(digits, "train")
    assert (part.x.dtype, part.y.dtype) == (torch.uint8, torch.uint8)
    assert list(part.x.shape[1:]) == summary.input_shape == [1, 8, 8]
    assert part.x.max() == summary.white == 16


def test_preparing_again_gives_the_same_bytes(digits: Path, tmp_path: Path) -> None:
    datasets.prepare(Digits(), tmp_path, tmp_path)
    for file in ("train.safetensors", "val.safetensors", "test.safetensors", "summary.json"):
        assert (tmp_path / file).read_bytes() == (digits / file).read_bytes()


def test_the_example_is_a_validation_picture(digits: Path) -> None:
    assert np.array_equal(datasets.example(digits), datasets.read(digits, "val").x[:1].numpy())


@pytest.mark.parametrize("damage", ["truncated", "altered", "empty", "pickle", "missing"])
def test_a_damaged_file_is_one_line(digits: Path, tmp_path: Path, damage: str) -> None:
    for file in digits.glob("*.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    file = tmp_path / "val.safetensors"
    content = file.read_bytes()
    match damage:
        case "truncated":
            file.write_bytes(content[:-100])
        case "altered":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "empty":
            file.write_bytes(b"")
        case "pickle":
            torch.save({"x": torch.zeros(1)}, file)
        case "missing":
            file.unlink()
    with pytest.raises(UserError, match=r"val\.safetensors: .*run `uv run pipeline download`") as raised:
        datasets.read(tmp_path, "val")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", json.dumps({"dataset": "digits"})])
def test_a_damaged_summary_is_one_line(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "summary.json").write_text(content)
    with pytest.raises(UserError, match="run `uv run pipeline download`"):
        datasets.summary(tmp_path)
