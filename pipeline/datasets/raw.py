"""A data set as it was published, and as arrays after splitting and encoding."""

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
    """The examples: pictures as uint8 (examples, channels, height, width), numbers as float32 (examples, features), a
    list of texts, the rows of a table as a DataFrame, or the whole text of the split for a language model."""
    y: NDArray[Any]
    """The targets, (examples,), as class numbers that start at 0 or as float32; empty for a language model."""

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: NDArray[np.int64]) -> "RawSplit":
        """Return the examples at ``indices``, in the order of the indices."""
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
    """The validation split; if None, `prepare` sets it aside from the training split."""
    test: RawSplit | None = None
    """The test split; if None, `prepare` sets it aside from the training split, before the validation split."""
    val_size: int | float = 0.1
    """The number or the share of examples to set aside for validation."""
    test_size: int | float = 0.2
    """The number or the share of examples to set aside for testing."""
    classes: Sequence[str] = ()
    """The names of the classes, in the order of their numbers; empty if the targets are numbers."""
    white: int = 255
    """The largest value that a pixel can have."""
    columns: Mapping[str, ColumnKind] = field(default_factory=dict)
    """Maps each column of a table, except the target, to its kind."""
    notes: Sequence[str] = ()
    """Lines to print for the user."""


@dataclass(frozen=True)
class Encoded:
    """The splits as arrays, and how they were encoded."""

    splits: dict[str, Arrays]
    """Maps the name of each split to its arrays."""
    examples: dict[str, int] = field(default_factory=dict)
    """Maps each split to its number of examples; empty if encoding does not change that number."""
    input_shape: list[int] = field(default_factory=list)
    """See `store.Summary`."""
    vocabulary_size: int = 0
    """See `store.Summary`."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Other files to store with the splits, such as a tokenizer or a table's encoding; maps names to contents."""
    target: Target | None = None
    """The target of a regression on a table."""
    language: Language | None = None
    """Facts about the text that a language model is trained on."""
    notes: Sequence[str] = ()
    """Lines to print for the user."""


def labels(numbers: Sequence[int], classes: int) -> NDArray[Any]:
    """Return class numbers as an array of the smallest type that can hold ``classes`` different numbers."""
    return np.asarray(numbers, dtype=np.min_scalar_type(max(classes - 1, 0)))
