"""Classes that hold a data set, either as it was published or as arrays after splitting and encoding."""

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
    """The examples: a uint8 array of shape (examples, channels, height, width) for pictures, a float32 array of shape
    (examples, features) for numbers, a list for texts, a DataFrame for the rows of a table, and the whole text of the
    split for a language model."""
    y: NDArray[Any]
    """The targets: an array of shape (examples,) that contains either class numbers, counted from 0, or the numbers to
    predict. For a language model, the array is empty."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.int64]) -> "RawSplit":
        """Return a split with the examples at ``indices``, in that order."""
        if isinstance(self.x, list):
            return RawSplit([self.x[index] for index in indices], self.y[indices])
        return RawSplit(getattr(self.x, "iloc", self.x)[indices], self.y[indices])


@dataclass(frozen=True)
class RawData:
    """A data set as it was published."""

    source: str
    """A readable description of where the data come from."""
    train: RawSplit
    val: RawSplit | None = None
    """The validation split. If None, `prepare` takes the validation split from the training split."""
    test: RawSplit | None = None
    """The test split. If None, `prepare` takes the test split from the training split, before the validation split."""
    val_size: int | float = 0.1
    """The number (an int) or the share (a float) of examples to set aside for validation."""
    test_size: int | float = 0.2
    """The number (an int) or the share (a float) of examples to set aside for testing."""
    classes: Sequence[str] = ()
    """The names of the classes, in the order of the class numbers; empty if the targets are not classes."""
    white: int = 255
    """The largest value that a pixel can have."""
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    """Maps the name of each column of a table, except the target, to the kind of the column."""
    notes: Sequence[str] = ()
    """Lines to print for the user."""


@dataclass(frozen=True)
class Encoded:
    """The splits as arrays, with facts about their encoding."""

    splits: dict[str, Arrays]
    """Maps the name of each split to its arrays."""
    examples: dict[str, int] = field(default_factory=dict)
    """Maps the name of each split to its number of examples; empty if the encoding does not change these numbers."""
    input_shape: list[int] = field(default_factory=list)
    """The shape of one example: see `store.Summary`."""
    vocabulary_size: int = 0
    """The size of the vocabulary: see `store.Summary`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Maps the names of other files to store, such as a tokenizer or a table's encoding, to their contents."""
    target: Target | None = None
    """For regression on a table, the target; otherwise None."""
    language: Language | None = None
    """For a language model, facts about its text; otherwise None."""
    notes: Sequence[str] = ()
    """Lines to print for the user."""


def labels(numbers: Sequence[int], classes: int) -> NDArray[Any]:
    """Return class numbers as an array of the smallest integer type that can hold 0 to ``classes`` - 1."""
    return np.asarray(numbers, dtype=np.min_scalar_type(max(classes - 1, 0)))
