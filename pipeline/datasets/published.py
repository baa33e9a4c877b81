"""A data set as its source publishes it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.store import Target
from pipeline.settings import Kind


@dataclass(frozen=True)
class Examples:
    """One split of a data set."""

    x: Any
    """Pictures, uint8 (examples, channels, height, width); texts; numbers, float32 (examples, features); of tokens, the
    whole text; or, of a source with `Published.encode`, whatever that takes, (examples,)."""
    y: NDArray[Any]
    """(examples,): class numbers from 0, or float32 targets; of tokens, which are their own targets, none."""

    def __len__(self) -> int:
        return len(self.y)


@dataclass(frozen=True)
class Encoded:
    """Splits as numbers, and how they became that."""

    splits: dict[str, Examples]
    encoding: str
    """JSON that encodes other examples alike."""
    target: Target | None
    """Of a regression."""
    notes: Sequence[str] = ()
    """What to tell the user, a line each."""


@dataclass(frozen=True)
class Published:
    """A data set as it is published."""

    kind: Kind
    source: str
    """The origin of the data, for people to read."""
    train: Examples
    val: Examples | None = None
    """None: it is set aside from the training split."""
    test: Examples | None = None
    """None: it is set aside from the training split, before the validation split."""
    val_size: int | float = 0.1
    """Examples to set aside for validation: a number, or a share."""
    test_size: int | float = 0.2
    classes: Sequence[str] = ()
    """The name of each class number; none where the targets are numbers."""
    white: int = 255
    """The largest value that a pixel can have."""
    notes: Sequence[str] = ()
    """What to tell the user, a line each."""
    encode: Callable[[Mapping[str, Examples]], Encoded] | None = None
    """Turns the splits into numbers, by what the training split alone says; None: they are as they should be."""


def labels(numbers: Sequence[int], classes: int) -> NDArray[Any]:
    """Class numbers in the smallest type that has room for all ``classes``."""
    return np.asarray(numbers, dtype=np.min_scalar_type(max(classes - 1, 0)))
