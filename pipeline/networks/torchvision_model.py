"""The classification models of torchvision, such as `name: "torchvision:resnet18"` in params.yaml.

Importing torchvision is slow, so the functions here import it only if params.yaml names one of its models.
"""

from collections.abc import Sequence
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
"""Number of input channels of every torchvision model."""
RESNET = "ResNet"
"""Name of torchvision's ResNet class. Only models of this class have the setting `small_pictures`."""
BUILDER_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "EfficientNet": ("dropout",),
    "MaxVit": ("input_size",),
    "MobileNetV3": ("width_mult", "reduced_tail", "dilated"),
    "VisionTransformer": ("image_size",),
}
"""Maps the name of a model class to the arguments that its builders accept besides the class's optional arguments."""
NOT_SETTINGS = {
    "num_classes": "the data determine the number of classes",
    "aux_logits": "auxiliary classifiers are left out, because the loss uses one output",
    "progress": "nothing is downloaded",
}
"""For each builder argument that params.yaml cannot set, the reason why not."""
SET_BY_BUILDERS = ("growth_rate", "block_config", "num_init_features", "version", "conv_stem_configs", "dropout_aux")
"""Model classes' optional arguments that torchvision's builders set themselves, or that are not plain values."""


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
    """A classification model of torchvision.

    Settings that are not fields of this class are passed to torchvision's builder. The modules keep torchvision's
    names, so torchvision can load the weights that a run saves. The single channel of a greyscale picture is copied to
    all three channels. Inputs are converted to the channels-last format, which makes most of the models faster on a
    CPU. `googlenet` and `inception_v3` are built without auxiliary classifiers.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    is_deep = True

    name: Annotated[str, AfterValidator(_known_name)]
    """The name of the model: `torchvision:` followed by its name in torchvision."""
    weights: UserPath | None = None
    """A local .pth or .safetensors file with the initial weights, or null for random weights."""
    small_pictures: bool = False
    """True for a 3 x 3 stem with stride 1 and no max pooling, which suits pictures of about 32 x 32 pixels. Only
    ResNets have this setting."""

    @model_validator(mode="after")
    def _builder_takes_the_settings(self) -> "TorchvisionModel":
        """Check the names of the settings, and that only a ResNet has `small_pictures`."""
        model = self.name.removeprefix(TORCHVISION)
        kind = _class(model)
        for setting in self.__pydantic_extra__:
            if setting in NOT_SETTINGS:
                raise ValueError(f"{setting} is not a setting: {NOT_SETTINGS[setting]}")
            if setting not in (known := _settings(kind)):
                allowed = [*known, "weights", "small_pictures"]
                raise ValueError(f"unknown setting {setting!r} of {model}; {did_you_mean(setting, allowed)}")
        if self.small_pictures and kind.__name__ != RESNET:
            resnets = ", ".join(name for name in names() if _class(name).__name__ == RESNET)
            raise ValueError(f"small_pictures: no stem for small pictures is known for {model}; allowed: {resnets}")
        return self

    @property
    def weights_file(self) -> str | None:
        return self.weights

    @property
    def least_size(self) -> tuple[int, int]:
        """Height and width, in pixels, of the smallest pictures that the model accepts, according to torchvision."""
        from torchvision import models

        height, width = models.get_model_weights(self.name.removeprefix(TORCHVISION)).DEFAULT.meta["min_size"]
        return height, width

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
        """Raise a UserError if torchvision rejects the settings. The check allocates no memory for the weights.

        Some models, such as RegNets, cannot be built without memory for their weights, so they are not checked.
        """
        import torch

        try:
            with torch.device("meta"):
                self.build((COLOURS,), 2)
        except UserError as error:
            if not isinstance(error.__cause__, NotImplementedError):
                raise


def _class(model: str) -> type[Any]:
    """Return the torchvision class of the model with this name."""
    from torchvision import models

    kind: type[Any] = signature(models.get_model_builder(model), eval_str=True).return_annotation
    return kind


def _settings(kind: type[Any]) -> list[str]:
    """Return the names of a model class's settings in params.yaml: its optional arguments that are not functions."""
    optional = [
        parameter.name
        for parameter in signature(kind.__init__).parameters.values()
        if parameter.default is not Parameter.empty and "Callable" not in str(parameter.annotation)
    ]
    return sorted({*optional, *BUILDER_ARGUMENTS.get(kind.__name__, ())} - {*NOT_SETTINGS, *SET_BY_BUILDERS})


def _shrink_stem(network: "nn.Module") -> None:
    """Replace the stem of a ResNet with a stem for small pictures."""
    from torch import nn

    before = network.conv1
    assert isinstance(before, nn.Conv2d)
    network.conv1 = nn.Conv2d(before.in_channels, before.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as in torchvision's ResNets
    network.maxpool = nn.Identity()


def _as_colours(_: "nn.Module", given: "tuple[Tensor]") -> "tuple[Tensor]":
    """Convert pictures to three channels in the channels-last format. This hook runs before `forward`."""
    import torch

    (x,) = given
    if x.shape[1] == 1:
        x = x.expand(-1, COLOURS, -1, -1)
    return (x.contiguous(memory_format=torch.channels_last),)
