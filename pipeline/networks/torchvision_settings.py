"""The classification models of torchvision: their names and settings, as torchvision itself knows them.

To import torchvision takes seconds, so the functions here do it when they are called: where one of its models is named.
"""

from collections.abc import Iterable
from functools import cache
from inspect import Parameter, signature
from typing import Any

from pipeline.errors import did_you_mean

PREFIX = "torchvision:"
"""What the name of such a model begins with in params.yaml."""
SMALL = "ResNet"
"""torchvision's class of the models whose stem can be made for small pictures."""
BEYOND: dict[str, tuple[str, ...]] = {
    "EfficientNet": ("dropout",),
    "MaxVit": ("input_size",),
    "MobileNetV3": ("width_mult", "reduced_tail", "dilated"),
    "VisionTransformer": ("image_size",),
}
"""By class: what its builders take besides the class's own optional arguments."""
OURS = {
    "num_classes": "the data say how many classes there are",
    "aux_logits": "auxiliary classifiers are left out, as the loss sees one output",
    "progress": "nothing is downloaded",
}
"""Arguments of the builders that params.yaml cannot set, and why."""
BUILDERS_OWN = ("growth_rate", "block_config", "num_init_features", "version")
"""Optional arguments of a class that all its builders set themselves."""


@cache
def names() -> list[str]:
    """Return the names of torchvision's classification models."""
    from torchvision import models

    return [str(name) for name in models.list_models(module=models)]


def checked_name(name: str) -> str:
    """Return ``name``, the prefix included.

    Raises:
        ValueError: torchvision lists no such model.
    """
    model = name.removeprefix(PREFIX)
    if model not in names():
        raise ValueError(f"unknown {model!r} of torchvision; {did_you_mean(model, names())}")
    return name


def check_settings(name: str, keywords: Iterable[str], small_pictures: bool) -> None:
    """Check the names of settings; their values are checked where the model is built.

    Args:
        name: of the model, the prefix included.
        keywords: what params.yaml gives for its builder.
        small_pictures: True for a stem for small pictures.

    Raises:
        ValueError: the builder does not take one of them, or nobody knows a stem for small pictures.
    """
    model = name.removeprefix(PREFIX)
    kind = _class(model)
    for keyword in keywords:
        if keyword in OURS:
            raise ValueError(f"{keyword} is not a setting: {OURS[keyword]}")
        if keyword not in (known := _keywords(kind)):
            allowed = [*known, "weights", "small_pictures"]
            raise ValueError(f"unknown setting {keyword!r} of {model}; {did_you_mean(keyword, allowed)}")
    if small_pictures and kind.__name__ != SMALL:
        known_for = ", ".join(each for each in names() if _class(each).__name__ == SMALL)
        raise ValueError(f"small_pictures: no stem for small pictures is known for {model}; allowed: {known_for}")


@cache
def least_size(name: str) -> tuple[int, int]:
    """Return height and width of the smallest pictures that torchvision says a model takes, in pixels."""
    from torchvision import models

    height, width = models.get_model_weights(name.removeprefix(PREFIX)).DEFAULT.meta["min_size"]
    return height, width


def _class(model: str) -> type[Any]:
    """Return the class that the builder of a model returns an instance of."""
    from torchvision import models

    found: type[Any] = signature(models.get_model_builder(model), eval_str=True).return_annotation
    return found


def _keywords(kind: type[Any]) -> list[str]:
    """Return the settings that params.yaml can hold: optional arguments, but for those that are functions."""
    optional = [
        each.name
        for each in signature(kind.__init__).parameters.values()
        if each.default is not Parameter.empty and "Callable" not in str(each.annotation)
    ]
    hidden = {*OURS, *BUILDERS_OWN, "conv_stem_configs", "dropout_aux"}
    return sorted({*optional, *BEYOND.get(kind.__name__, ())} - hidden)
