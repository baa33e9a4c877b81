"""The user's own networks, such as `name: "my_package.my_module:build"` in params.yaml."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

from pydantic import ConfigDict, JsonValue

from pipeline.errors import UserError
from pipeline.networks.base import Model
from pipeline.settings import ExampleKind
from pipeline.user_code import BuilderName, builder, told

if TYPE_CHECKING:
    from torch import nn


class UserModel(Model):
    """The network that the user's builder returns.

    The builder is called as `build(input_shape, outputs, **settings)`. For texts and tokens, `vocabulary_size` is also
    passed as a keyword argument.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    takes = get_args(ExampleKind)
    returns_log_probabilities = None

    name: BuilderName
    """The name of the builder: its module and its function, separated by a colon."""

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        """Call the user's builder, and return its network.

        Raises:
            UserError: the builder cannot be imported, raises an exception, or does not return a `torch.nn.Module`.
        """
        from torch import nn

        build = builder("model", self.name)
        vocabulary = {"vocabulary_size": vocabulary_size} if vocabulary_size else {}
        with errors_in_one_line(self.name):
            network = build(tuple(input_shape), outputs, **self.__pydantic_extra__, **vocabulary)
        if not isinstance(network, nn.Module):
            raise UserError(f"model {self.name}: returns {type(network).__name__}, not a torch.nn.Module")
        return network


@contextmanager
def errors_in_one_line(name: str) -> Iterator[None]:
    """Turn any exception in a `with` block into a UserError with a one-line message about the network ``name``."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model {name}: {told(error)}") from error
