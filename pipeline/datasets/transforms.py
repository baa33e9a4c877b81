"""Transforms of pictures: torchvision's, by name and with the arguments of their signatures.

torchvision is imported where params.yaml names a transform, and only there.
"""

import enum
import inspect
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from pipeline.errors import did_you_mean
from pipeline.runs.training_settings import Transform

if TYPE_CHECKING:
    from torchvision.transforms import v2

UNFIT = {
    *("CutMix", "MixUp"),  # mix the pictures of a batch, and their labels
    *(
        "Compose",
        "RandomApply",
        "RandomChoice",
        "RandomOrder",
        "Lambda",
        "LinearTransformation",
    ),  # take no plain values
    *("ConvertImageDtype", "JPEG", "PILToTensor", "ToDtype", "ToImage", "ToPILImage", "ToPureTensor", "ToTensor"),
    *("ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "RandomIoUCrop", "SanitizeBoundingBoxes"),
    *("SanitizeKeyPoints", "SetClampingMode", "UniformTemporalSubsample"),  # of boxes, points and videos
    *("FiveCrop", "TenCrop", "Normalize", "Transform"),
}
"""Classes that do not turn one picture of floats into another by plain arguments."""


@cache
def names() -> list[str]:
    """Return the names of the transforms that there are."""
    from torchvision.transforms import v2

    kinds = {name: kind for name, kind in vars(v2).items() if isinstance(kind, type) and issubclass(kind, v2.Transform)}
    return sorted({*kinds} - UNFIT)


def build(transform: Transform) -> "v2.Transform":
    """Return torchvision's transform.

    Raises:
        ValueError: there is none of that name, or it does not take the arguments; in one line.
    """
    from torchvision.transforms import v2

    name, given = transform.name, transform.arguments
    if name in UNFIT:
        raise ValueError(f"{name} does not make one picture of another by itself; {did_you_mean(name, names())}")
    if name not in names():
        raise ValueError(f"unknown {name!r}; {did_you_mean(name, names())}")
    kind = getattr(v2, name)
    parameters = inspect.signature(kind).parameters
    for key in given:
        if key not in parameters:
            raise ValueError(f"{name} has no setting {key!r}; {did_you_mean(key, parameters)}")
    missing = [key for key, each in parameters.items() if each.default is each.empty and key not in given]
    if missing:
        raise ValueError(f"{name} needs {' and '.join(missing)}")
    hints = get_type_hints(kind.__init__)
    arguments = {key: _member(name, key, value, hints.get(key)) for key, value in given.items()}
    try:
        built: v2.Transform = kind(**arguments)
    except Exception as error:  # whatever torchvision raises
        raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
    return built


def _member(name: str, key: str, value: Any, hint: Any) -> Any:
    """Return the member of an enumeration that a text stands for, where torchvision wants one."""
    kinds = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, enum.Enum)]
    if not kinds or not isinstance(value, str):
        return value
    members = {each.value: each for each in kinds[0]}
    if value not in members:
        raise ValueError(f"{name}: {key}: unknown {value!r}; {did_you_mean(value, members)}")
    return members[value]
