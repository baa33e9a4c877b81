"""Summaries of data that networks are built for."""

from collections.abc import Sequence

from pipeline.datasets import Summary


def facts(input_shape: Sequence[int], classes: int = 10, vocabulary_size: int = 0) -> Summary:
    """The summary of a data set of which a network needs to know no more."""
    names = [str(number) for number in range(classes)]
    return Summary("some", {}, "image", "", "", names, 255, list(input_shape), vocabulary_size, {}, {})
