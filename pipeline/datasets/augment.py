"""Augmentation with the torchvision transforms that params.yaml names. Each picture gets its own random draws.

A torchvision transform draws its random numbers once per call, so this module calls it on each picture separately.
`torch.func.vmap` does not work here, because the transforms branch on the result of `.item()`. Flips and crops, which
nearly every recipe uses, are an exception: this module draws the same random numbers as torchvision, but transforms the
whole batch at once. This way, augmenting a batch of 128 pictures of 3 x 32 x 32 takes 3 ms instead of 16 ms.

torchvision is imported only if params.yaml names a transform.
"""

import enum
import hashlib
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_type_hints

from pydantic import BeforeValidator, ConfigDict, JsonValue

from pipeline.errors import UserError, did_you_mean
from pipeline.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torchvision.transforms import v2

UNFIT = {
    *("CutMix", "MixUp"),  # transforms that blend the pictures of a batch, and their labels
    *("Compose", "RandomApply", "RandomChoice", "RandomOrder"),  # transforms made of other transforms
    *("Lambda", "LinearTransformation"),  # transforms that need functions or tensors as arguments
    *("ConvertImageDtype", "JPEG", "PILToTensor", "ToDtype", "ToImage", "ToPILImage", "ToPureTensor", "ToTensor"),
    *("ClampBoundingBoxes", "ClampKeyPoints", "ConvertBoundingBoxFormat", "RandomIoUCrop", "SanitizeBoundingBoxes"),
    *("SanitizeKeyPoints", "SetClampingMode", "UniformTemporalSubsample"),  # transforms of boxes, points or videos
    *("FiveCrop", "TenCrop", "Normalize", "Transform"),
}
"""The torchvision transforms that cannot be built from plain values or do not turn one float picture into another."""
Draw = tuple[int, int, int]
"""The seed of a batch's random draws: the run's seed, the epoch, and the number of earlier batches in the epoch."""


class Transform(Settings):
    """A transform in params.yaml: a class from torchvision's `transforms.v2`, and its arguments."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    name: str
    """The name of the torchvision class."""

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments that params.yaml gives for the torchvision class, keyed by name."""
        return dict(self.__pydantic_extra__)

    def build(self) -> "v2.Transform":
        """Return the torchvision transform, built with the arguments from params.yaml.

        Raises:
            ValueError: the transform is unknown or unsuitable, or it does not accept the arguments. The error message
                is a single line.
        """
        from torchvision.transforms import v2

        name, given = self.name, self.arguments
        if name in UNFIT:
            raise ValueError(f"{name} does not turn one picture into another by itself; {did_you_mean(name, names())}")
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
        except Exception as error:  # torchvision can raise any exception
            raise ValueError(f"{name}: {' '.join(str(error).split())}") from None
        return built


def _named(given: Any) -> Any:
    if isinstance(given, str):
        return {"name": given}
    if not isinstance(given, dict | Transform):
        raise ValueError(f"{given!r} is not the name of a transform, nor a mapping with a name and its settings")
    return given


AnyTransform = Annotated[Transform, BeforeValidator(_named)]
"""A transform in params.yaml: either just a name, or a mapping with `name` and the arguments."""


@cache
def names() -> list[str]:
    """Return the names of all torchvision transforms that params.yaml can name."""
    from torchvision.transforms import v2

    kinds = {name: kind for name, kind in vars(v2).items() if isinstance(kind, type) and issubclass(kind, v2.Transform)}
    return sorted({*kinds} - UNFIT)


def _member(name: str, key: str, value: Any, hint: Any) -> Any:
    """Return ``value``, converted to an enumeration member if torchvision expects one for the argument ``key``."""
    kinds = [each for each in (hint, *get_args(hint)) if isinstance(each, type) and issubclass(each, enum.Enum)]
    if not kinds or not isinstance(value, str):
        return value
    members = {each.value: each for each in kinds[0]}
    if value not in members:
        raise ValueError(f"{name}: {key}: unknown {value!r}; {did_you_mean(value, members)}")
    return members[value]


class Augmentation:
    """A sequence of transforms. Each transform is applied to the whole batch before the next one is applied.

    Args:
        transforms: the settings of the transforms, in the order in which they are applied.
        device: the device that holds the pictures; some transforms draw their random numbers on it.
    """

    def __init__(self, transforms: Sequence[Transform], device: "torch.device") -> None:
        self._transforms = [(transform.name, transform.build()) for transform in transforms]
        self._device = device

    def __call__(self, pictures: "Tensor", draws: Sequence[Draw]) -> "Tensor":
        """Return the augmented pictures, which have the same shape as ``pictures``.

        The state of torch's global random number generators does not change.

        Args:
            pictures: the batches of all runs, as a float32 tensor of shape (runs, batch, channels, height, width) with
                values in [0, 1].
            draws: the seed of each run's random draws. Runs with the same seed must have the same batch, because it is
                transformed only once for all of them.

        Raises:
            UserError: a transform fails, or the augmented pictures have a different shape or are not floats.
        """
        import torch

        transformed: dict[Draw, Tensor] = {}
        for draw, batch in zip(draws, pictures, strict=True):
            if draw not in transformed:
                with _seeded(draw, self._device):
                    transformed[draw] = self._transformed(batch)
        return torch.stack([transformed[draw] for draw in draws])

    def _transformed(self, batch: "Tensor") -> "Tensor":
        shape = batch.shape
        for name, transform in self._transforms:
            try:
                batch = apply(transform, batch)
            except Exception as error:  # torchvision can raise any exception
                raise UserError(f"augment: {name}: {' '.join(str(error).split())}") from error
        if batch.shape != shape or not batch.is_floating_point():
            made, wanted = (" x ".join(map(str, each[1:])) for each in (batch.shape, shape))
            raise UserError(f"augment: the transforms turn pictures of {wanted} into {made}; the shape must not change")
        return batch


def apply(transform: "v2.Transform", batch: "Tensor") -> "Tensor":
    """Apply a transform independently to each picture of a batch of shape (pictures, channels, height, width)."""
    import torch
    from torchvision.transforms import v2

    if type(transform) is v2.RandomHorizontalFlip or type(transform) is v2.RandomVerticalFlip:
        is_flipped = (torch.rand(len(batch)) < transform.p).to(batch.device)
        flipped = batch.flip(-1 if type(transform) is v2.RandomHorizontalFlip else -2)
        return torch.where(is_flipped[:, None, None, None], flipped, batch)
    if type(transform) is v2.RandomCrop:
        places = [transform.make_params([picture]) for picture in batch]
        first = places[0]
        if first["needs_pad"]:
            batch = transform.transform(batch, first | {"needs_crop": False})
        if not first["needs_crop"]:
            return batch
        top, left = (torch.tensor([place[side] for place in places], device=batch.device) for side in ("top", "left"))
        windows = batch.unfold(2, first["height"], 1).unfold(3, first["width"], 1)
        return windows[torch.arange(len(batch), device=batch.device), :, top, left]
    return torch.stack([transform(picture) for picture in batch])


@contextmanager
def _seeded(draw: Draw, device: "torch.device") -> Iterator[None]:
    """Seed torch's global random number generators for a `with` block, and restore their previous state afterwards."""
    import torch

    digest = hashlib.blake2b(repr(draw).encode(), digest_size=8).digest()
    seed, is_cpu = int.from_bytes(digest, "little") >> 1, device.type == "cpu"
    with torch.random.fork_rng([]) if is_cpu else torch.random.fork_rng([device], device_type=device.type):
        torch.default_generator.manual_seed(seed)
        if not is_cpu:
            torch.get_device_module(device).manual_seed(seed)
        yield
