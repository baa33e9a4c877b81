from pathlib import Path

import pytest

from pipeline import datasets
from pipeline.datasets.square import Square


def test_the_points_are_the_published_ones(tmp_path: Path) -> None:
    summary = datasets.prepare(Square(), tmp_path, tmp_path)
    assert (summary.kind, summary.input_shape, summary.classes) == ("number", [1], [])
    train, val, test = (datasets.read(tmp_path, name) for name in ("train", "val", "test"))
    assert train.x[:, 0].tolist() == pytest.approx([n / 10 for n in range(1, 11)])
    assert val.x[:, 0].tolist() == pytest.approx([n / 100 for n in range(15, 100, 10)])
    for part in (train, val, test):
        assert part.y.tolist() == pytest.approx((part.x[:, 0] ** 2).tolist())
    assert (val.x == test.x).all()
