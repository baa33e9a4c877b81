"""The classification models of torchvision, `name: "torchvision:resnet18"` in params.yaml.

Importing torchvision takes seconds, so that functions here import it when one of its models is named.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, ConfigDict, JsonValue, model_validator

from pipeline.errors import UserError, did_you_mean
from pipeline.networks.base import Model
from pipeline.networks.user_model import errors_in_one_line
from pipeline.settings import UserPath
from pipeline.user_code import TORCHVISION

if TYPE_CHECKING:
    from torch import Tensor, nn

COLOURS = 3
"""Channels that all of these models take."""
RESNET = "ResNet"
"""torchvision's class of the models that can have a stem for small pictures."""
BUILDER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "EfficientNet": ("dropout",),
    "MaxVit": ("input_size",),
    "MobileNetV3": ("width_mult", "reduced_tail", "dilated"),
    "VisionTransformer": ("image_size",),
}
"""Arguments that the builders of a class take besides the class's own optional ones."""
NOT_SETTINGS = {
    "num_classes": "the data say how many classes there are",
    "aux_logits": "auxiliary classifiers are left out, as the loss sees one output",
    "progress": "nothing is downloaded",
}
"""Arguments of the builders that params.yaml cannot set, and why."""
SET_BY_BUILDERS = ("growth_rate", "block_config", "num_init_features", "version", "conv_stem_configs", "dropout_aux")
"""Optional arguments of a class that its builders set themselves, or that are no plain values."""


@cache
def names() -> list[str]:
    """Return the names of torchvision's classification models."""
    from torchvision import models

    return [str(name) for name in models.list_models(module=models)]


def _known_name(name: str) -> str:
    model = name.removeprefix(TORCHVISION)
    if model not in names():
        raise ValueError(f"unknown {model!r} of torchvision; {did_you_mean(model, names())}")
    return name


class TorchvisionModel(Model):
    """A classification model of torchvision; torchvision's builder gets the other settings.

    Modules have torchvision's own names, so that torchvision loads the weights of a run. Pictures of one channel are
    repeated as red, green and blue. Inputs are in the channels-last format, in which most of the models are faster on a
    CPU. Auxiliary classifiers, which `googlenet` and `inception_v3` train with, are left out.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    is_deep = True

    name: Annotated[str, AfterValidator(_known_name)]
    """torchvision's name of the model, after `torchvision:`."""
    weights: UserPath | None = None
    """A local file of weights to start from, .pth or .safetensors; null: random ones."""
    small_pictures: bool = False
    """A 3 x 3 stem of stride 1 without max pooling, for pictures of some 32 pixels; for ResNets."""

    @model_validator(mode="after")
    def _settings_of_the_builder(self) -> "TorchvisionModel":
        check_settings(self.name, self.__pydantic_extra__, self.small_pictures)
        return self

    @property
    def weights_file(self) -> str | None:
        return self.weights

    @property
    def least_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the smallest pictures that torchvision says the model takes."""
        return least_size(self.name)

    def build(self, input_shape: Sequence[int], outputs: int, vocabulary_size: int = 0) -> "nn.Module":
        from torchvision import models

        if input_shape[0] not in (1, COLOURS):
            raise UserError(f"model {self.name} takes pictures of 1 or 3 channels, not {input_shape[0]}")
        model = self.name.removeprefix(TORCHVISION)
        plain = {"aux_logits": False, "init_weights": True} if model in ("googlenet", "inception_v3") else {}
        with errors_in_one_line(self.name):
            arguments = plain | self.__pydantic_extra__
            network: nn.Module = models.get_model(model, weights=None, num_classes=outputs, **arguments)
            if self.small_pictures:
                _shrink_stem(network)
        network.register_forward_pre_hook(_as_colours)
        return network

    def check(self) -> None:
        """Build the model without memory for its weights; raise a UserError if torchvision refuses the arguments.

        Models that need the memory, such as RegNets, are not checked.
        """
        import torch

        try:
            with torch.device("meta"):
                self.build((COLOURS,), 2)
        except UserError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise


def check_settings(name: str, keywords: Iterable[str], small_pictures: bool) -> None:
    """Check the names of settings; `build` checks their values.

    Args:
        name: name of the model, the prefix included.
        keywords: settings in params.yaml for the builder.
        small_pictures: True for a stem for small pictures.

    Raises:
        ValueError: the builder does not take one of the settings, or has no stem for small pictures.
    """
    model = name.removeprefix(TORCHVISION)
    kind = _class(model)
    for keyword in keywords:
        if keyword in NOT_SETTINGS:
            raise ValueError(f"{keyword} is not a setting: {NOT_SETTINGS[keyword]}")
        if keyword not in (known := _keywords(kind)):
            allowed = [*known, "weights", "small_pictures"]
            raise ValueError(f"unknown setting {keyword!r} of {model}; {did_you_mean(keyword, allowed)}")
    if small_pictures and kind.__name__ != RESNET:
        resnets = ", ".join(name for name in names() if _class(name).__name__ == RESNET)
        raise ValueError(f"small_pictures: no stem for small pictures is known for {model}; allowed: {resnets}")


@cache
def least_size(name: str) -> tuple[int, int]:
    """Return height and width, in pixels, of the smallest pictures that torchvision says a model takes."""
    from torchvision import models

    height, width = models.get_model_weights(name.removeprefix(TORCHVISION)).DEFAULT.meta["min_size"]
    return height, width


def _class(model: str) -> type[Any]:
    """Return the class of which the builder of a model returns an instance."""
    from torchvision import models

    kind: type[Any] = signature(models.get_model_builder(model), eval_str=True).return_annotation
    return kind


def _keywords(kind: type[Any]) -> list[str]:
    """Return the settings that params.yaml can hold: optional arguments that are not functions."""
    optional = [
        parameter.name
        for parameter in signature(kind.__init__).parameters.values()
        if parameter.default is not Parameter.empty and "Callable" not in str(parameter.annotation)
    ]
    return sorted({*optional, *BUILDER_ARGUMENTS.get(kind.__name__, ())} - {*NOT_SETTINGS, *SET_BY_BUILDERS})


def _shrink_stem(network: "nn.Module") -> None:
    """Replace the stem of a ResNet by one for small pictures."""
    from torch import nn

    before = network.conv1
    assert isinstance(before, nn.Conv2d)
    network.conv1 = nn.Conv2d(before.in_channels, before.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as in torchvision's ResNets
    network.maxpool = nn.Identity()


def _as_colours(_: "nn.Module", given: "tuple[Tensor]") -> "tuple[Tensor]":
    """Return pictures with three channels, in the channels-last format; a hook before `forward`."""
    import torch

    (x,) = given
    if x.shape[1] == 1:
        x = x.expand(-1, COLOURS, -1, -1)
    return (x.contiguous(memory_format=torch.channels_last),)
