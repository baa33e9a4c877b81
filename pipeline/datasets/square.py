"""Ten points of a parabola."""

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.base import Dataset
from pipeline.datasets.raw import RawData, RawSplit


class Square(Dataset):
    """y = x^2: train on x = 0.1, 0.2, ..., 1.0; validate and test on x = 0.15, 0.25, ..., 0.95.

    The published experiment has no separate test points, and reports its results on the nine validation points. The
    scheduler `plateau` is the only one that uses the validation points during training.
    """

    kind = "number"
    losses = ("squared-error",)

    name: str = "square"

    def load(self, root: Path) -> RawData:
        between = _squares(np.arange(15, 100, 10) / 100)
        return RawData(source="y = x^2", train=_squares(np.arange(1, 11) / 10), val=between, test=between)


def _squares(x: Any) -> RawSplit:
    return RawSplit(x.astype(np.float32)[:, np.newaxis], (x * x).astype(np.float32))
