"""What every source answers with."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Arrays:
    """A classification data set as published."""

    train_x: NDArray[np.uint8]
    """(examples, channels, height, width)"""
    train_y: NDArray[np.uint8]
    """(examples,): class numbers from 0"""
    test_x: NDArray[np.uint8]
    test_y: NDArray[np.uint8]
    val_examples: int
    """How many of the training examples are set aside for validation."""
    classes: list[str]
    """The name of each class number."""
    white: int
    """The largest value that a pixel can have: an input is a pixel divided by it."""
    source: str
    """Where the data come from, for people."""
