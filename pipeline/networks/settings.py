"""The models: networks of this project, and the user's own."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, PlainValidator, SerializeAsAny, model_validator

from pipeline.networks import torchvision_settings as torchvision_models
from pipeline.settings import ExampleKind, Settings, UserPath, validated_by_name
from pipeline.user_code import BUILDER, BuilderName, is_builder

Width = Annotated[int, Field(ge=1, le=1_000_000)]
Probability = Annotated[float, Field(ge=0, lt=1)]


class Model(Settings):
    """The settings of a network."""

    takes: ClassVar[tuple[ExampleKind, ...]] = ("image",)
    """The kinds of example that it accepts."""
    deep: ClassVar[bool] = False
    """True if what it computes of a picture on the way takes many times the memory of the picture."""

    name: str
    """Its name in params.yaml."""


class MLP(Model):
    """A multilayer perceptron."""

    takes = ("image", "number")

    hidden: Annotated[list[Width], Field(min_length=1)]
    """Units of each hidden layer."""
    activation: Literal["relu", "sigmoid", "tanh"] = "relu"
    """Between the layers."""
    output: Literal["linear", "relu"] = "linear"
    """After the last layer."""


class LeNet(Model):
    """LeNet-5 with ReLU and max pooling."""

    channels: Annotated[list[Width], Field(min_length=2, max_length=2)] = [6, 16]
    """Channels of each convolution, 5 x 5."""
    hidden: Annotated[list[Width], Field(min_length=1)] = [120, 84]
    """Units of each hidden layer."""


class CNN(Model):
    """Two convolutions with dropout, and a log-softmax at the end."""

    channels: Annotated[list[Width], Field(min_length=2, max_length=2)] = [10, 20]
    """Channels of each convolution, 5 x 5."""
    hidden: Annotated[list[Width], Field(min_length=1)] = [50]
    """Units of each hidden layer."""
    dropout: Probability = 0.5
    """Share of the second convolution's outputs that are dropped."""


class LSTM(Model):
    """A bidirectional LSTM over an embedding."""

    takes = ("text",)

    embedding: Width = 100
    """Dimensions of a word's vector."""
    hidden: Width = 256
    """Units of each direction."""
    layers: Annotated[int, Field(ge=1, le=100)] = 2
    """LSTM layers, one on another."""
    dropout: Probability = 0.0
    """Between the layers and before the output."""


def _depth(depth: int) -> int:
    below = max(8, depth - (depth - 2) % 6)
    if depth != below:
        nearest = "8" if depth < below else f"{below} and {below + 6}"
        raise ValueError(f"{depth} is not 6n + 2 layers; nearest: {nearest}; the paper has 20, 32, 44, 56, 110")
    return depth


class CifarResNet(Model):
    """The residual network for CIFAR of He, Zhang, Ren & Sun 2016."""

    deep = True

    depth: Annotated[int, Field(le=1202), AfterValidator(_depth)] = 20
    """Layers with weights: 6n + 2."""


class TorchvisionModel(Model):
    """A classification model of torchvision, `torchvision:resnet18`; its builder gets the other settings."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    deep = True

    name: Annotated[str, AfterValidator(torchvision_models.checked_name)]
    """The name that torchvision lists it under, after `torchvision:`."""
    weights: UserPath | None = None
    """A local file of weights to begin with, .pth or .safetensors; null: random ones."""
    small_pictures: bool = False
    """A 3 x 3 stem of stride 1 without max pooling, for pictures of some 32 pixels; for ResNets."""

    @model_validator(mode="after")
    def _settings_of_the_builder(self) -> "TorchvisionModel":
        torchvision_models.check_settings(self.name, self.__pydantic_extra__, self.small_pictures)
        return self


class GPT(Model):
    """A decoder-only transformer, which predicts the next token."""

    takes = ("tokens",)

    layers: Annotated[int, Field(ge=1, le=100)]
    """Blocks, one on another."""
    heads: Annotated[int, Field(ge=1, le=1_000)]
    """Parts that attention works in."""
    width: Width
    """Dimensions of a token's vector; a multiple of `heads`."""
    dropout: Probability = 0.0
    """Share of what is dropped of attention, of what a block adds, and of the embedding."""

    @model_validator(mode="after")
    def _heads_are_of_one_width(self) -> "GPT":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self


class UserModel(Model):
    """The user's own network: `my_package.my_module:build`, called with the other settings as arguments."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    takes = get_args(ExampleKind)

    name: BuilderName
    """Module and function of the builder."""


MODELS: dict[str, type[Model]] = {
    "mlp": MLP,
    "lenet": LeNet,
    "cnn": CNN,
    "lstm": LSTM,
    "cifar-resnet": CifarResNet,
    "gpt": GPT,
}
"""The names that params.yaml may give, besides torchvision's and builders of the user's own."""
EXAMPLE = f"{torchvision_models.PREFIX}resnet18"


def is_torchvision_model(name: str) -> bool:
    """Return True if a model's name is that of a model of torchvision."""
    return name.startswith(torchvision_models.PREFIX)


def weights_file(model: Model) -> str | None:
    """Return the user's file of weights that a model begins with, from the project's root; None if there is none."""
    return model.weights if isinstance(model, TorchvisionModel) else None


def _validated(given: Any) -> Model:
    if isinstance(given, Model):
        return given
    name = given.get("name") if isinstance(given, dict) else given
    if isinstance(name, str) and ":" in name:
        kind = UserModel if is_builder(name) else TorchvisionModel
        return kind.model_validate(given if isinstance(given, dict) else {"name": name})
    return validated_by_name(given, MODELS | {BUILDER: UserModel, EXAMPLE: TorchvisionModel})


AnyModel = Annotated[SerializeAsAny[Model], PlainValidator(_validated)]
"""A model, written as a name alone or as `name` with its settings."""
