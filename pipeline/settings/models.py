"""The settings of each network, and of one's own."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from pipeline.settings.base import Settings, by_name

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Rate = Annotated[float, Field(ge=0, lt=1)]


class MLP(Settings):
    """A multilayer perceptron."""

    name: Literal["mlp"]
    hidden: Annotated[list[Width], Field(min_length=1)]
    """Units of each hidden layer."""
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    """Between the layers."""
    output: Literal["linear", "relu"] = "linear"
    """After the last layer."""


class LeNet(Settings):
    """LeNet-5 with ReLU and max pooling."""

    name: Literal["lenet"]
    channels: Annotated[list[Width], Field(min_length=2, max_length=2)] = [6, 16]
    """Of each convolution, 5 x 5."""
    hidden: Annotated[list[Width], Field(min_length=1)] = [120, 84]


class CNN(Settings):
    """Two convolutions with dropout, and a log-softmax at the end."""

    name: Literal["cnn"]
    channels: Annotated[list[Width], Field(min_length=2, max_length=2)] = [10, 20]
    hidden: Annotated[list[Width], Field(min_length=1)] = [50]
    dropout: Rate = 0.5
    """The share of the second convolution's outputs that are dropped."""


class LSTM(Settings):
    """A bidirectional LSTM over an embedding."""

    name: Literal["lstm"]
    embedding: Width = 100
    hidden: Width = 256
    """Units of each direction."""
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    dropout: Rate = 0.0
    """Between the layers and before the output."""


def _builder(name: str) -> str:
    module, _, function = name.partition(":")
    if not all(part.isidentifier() for part in [*module.split("."), function]):
        raise ValueError(f"{name!r} is no builder; one is written my_package.my_module:build")
    return name


class Own(Settings):
    """A network of one's own: `my_package.my_module:build`, called with what else stands here."""

    model_config = ConfigDict(extra="allow")

    name: Annotated[str, AfterValidator(_builder)]


OWN = "my_package.my_module:build"


def _which(given: Any) -> Any:
    name = given.get("name") if isinstance(given, dict) else getattr(given, "name", None)
    return OWN if isinstance(name, str) and ":" in name else name


AnyModel = Annotated[
    Annotated[MLP, Tag("mlp")]
    | Annotated[LeNet, Tag("lenet")]
    | Annotated[CNN, Tag("cnn")]
    | Annotated[LSTM, Tag("lstm")]
    | Annotated[Own, Tag(OWN)],
    Discriminator(_which),
    BeforeValidator(by_name),
]
"""Written as a name alone, or as `name` with its settings."""
