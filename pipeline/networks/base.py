"""The base class of all networks, and the registry of their classes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from pipeline.settings import ExampleKind, Settings

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Field(ge=1, le=1_000_000)]
"""Number of units in a layer."""
Dropout = Annotated[float, Field(ge=0, lt=1)]
"""Probability that dropout sets a value to zero."""
REGISTRY: dict[str, type["Model"]] = {}
"""Maps the name of each network to its class. A subclass of `Model` registers itself if its `name` has a default."""


class Model(Settings):
    """The settings of a network, and a method `build` that returns the network."""

    takes: ClassVar[tuple[ExampleKind, ...]] = ("image",)
    """Kinds of examples that the network accepts."""
    returns_log_probabilities: ClassVar[bool | None] = False
    """True if the outputs are log-probabilities, which the loss `nll` needs; None if it is unknown whether they are."""
    is_deep: ClassVar[bool] = False
    """True if the activations take many times as much memory as the input. Scoring then uses smaller batches."""

    name: str
    """The name of the network in params.yaml."""

    @classmethod
    def __pydantic_init_subclass__(cls, **arguments: Any) -> None:
        super().__pydantic_init_subclass__(**arguments)
        if isinstance(name := cls.model_fields["name"].default, str):
            REGISTRY[name] = cls

    @property
    def weights_file(self) -> str | None:
        """The path of the file with the initial weights, or None if the initial weights are random."""
        return None

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        """Return the network with random weights, drawn from torch's global random number generator.

        Args:
            input_shape: the shape of one example, as in the summary of the prepared data.
            outputs: the number of outputs for each example or, for a language model, for each token.
            vocabulary_size: the number of words or tokens in the vocabulary; 0 for pictures and numbers.

        Raises:
            UserError: the network cannot be built for examples of this shape.
        """
        raise NotImplementedError

    def check(self) -> None:
        """Raise a UserError if a network with these settings cannot be built. This check needs no data."""
