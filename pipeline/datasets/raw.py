"""A data set as published, and as arrays after it is split and encoded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.columns import ColumnKind
from pipeline.datasets.store import Arrays, Language, Target


@dataclass(frozen=True)
class RawSplit:
    """One split of a data set."""

    x: Any
    """Pictures, uint8 (examples, channels, height, width); numbers, float32 (examples, features); a list of texts; the
    rows of a table, a DataFrame; or, for a language model, the whole text of the split."""
    y: NDArray[Any]
    """(examples,): class numbers from 0, or float32 targets; empty for a language model."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.int64]) -> "RawSplit":
        """Return the examples at ``indices``, in that order."""
        if isinstance(self.x, list):
            return RawSplit([self.x[index] for index in indices], self.y[indices])
        return RawSplit(getattr(self.x, "iloc", self.x)[indices], self.y[indices])


@dataclass(frozen=True)
class RawData:
    """A data set as published."""

    source: str
    """The origin of the data, for a person to read."""
    train: RawSplit
    val: RawSplit | None = None
    """None: `prepare` sets it aside from the training split."""
    test: RawSplit | None = None
    """None: `prepare` sets it aside from the training split, before the validation split."""
    val_size: int | float = 0.1
    """The number of examples to set aside for validation, or their share."""
    test_size: int | float = 0.2
    """The number of examples to set aside for the test, or their share."""
    classes: Sequence[str] = ()
    """The name of each class number; empty if the targets are numbers."""
    white: int = 255
    """The largest value that a pixel can have."""
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    """The kind of each column of a table except the target."""
    notes: Sequence[str] = ()
    """Lines to print for the user."""


@dataclass(frozen=True)
class Encoded:
    """The splits as arrays, and how they were encoded."""

    splits: dict[str, Arrays]
    """The arrays of each split, by its name."""
    examples: dict[str, int] = field(default_factory=dict)
    """The number of examples of each split, if encoding changes it."""
    input_shape: list[int] = field(default_factory=list)
    """As in `store.Summary`."""
    vocabulary_size: int = 0
    """As in `store.Summary`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """The text of each file to store beside the splits, by name: a tokenizer, or the encoding of a table."""
    target: Target | None = None
    """The target of a regression on a table."""
    language: Language | None = None
    """Facts about the text of a language model."""
    notes: Sequence[str] = ()
    """Lines to print for the user."""


def labels(numbers: Sequence[int], classes: int) -> NDArray[Any]:
    """Return class numbers in the smallest type that has room for all ``classes``."""
    return np.asarray(numbers, dtype=np.min_scalar_type(max(classes - 1, 0)))
