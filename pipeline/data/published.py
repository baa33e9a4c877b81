"""What every source answers with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.settings.datasets import Kind


@dataclass(frozen=True)
class Examples:
    """One part of a data set."""

    x: Any
    """Pictures, uint8 (examples, channels, height, width); texts; or numbers, float32 (examples, features)."""
    y: NDArray[Any]
    """(examples,): class numbers from 0, or float32 targets."""

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Published:
    """A data set as it is published."""

    kind: Kind
    source: str
    """Where the data come from, for people."""
    train: Examples
    val: Examples | None = None
    """None: it is set aside from the training part."""
    test: Examples | None = None
    """None: it is set aside from the training part, before the validation part."""
    val_size: int | float = 0.1
    """How many to set aside for validation, or which share."""
    test_size: int | float = 0.2
    classes: Sequence[str] = ()
    """The name of each class number; none where the targets are numbers."""
    white: int = 255
    """The largest value that a pixel can have."""


def labels(numbers: Sequence[int], classes: int) -> NDArray[Any]:
    """Class numbers in the smallest type that has room for all ``classes``."""
    return np.asarray(numbers, dtype=np.min_scalar_type(max(classes - 1, 0)))
