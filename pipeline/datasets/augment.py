"""Augmentation: torchvision's transforms, with draws of their own for every picture.

A transform draws once a call, so it is called picture by picture: its draws are made with `.item()` and followed by
branches, which `torch.func.vmap` cannot take. A flip and a crop, which nearly every recipe has, make the same draws,
and then move the whole batch at once: 128 pictures of 3 x 32 x 32 take 3 ms instead of 16.
"""

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.datasets.transforms import build
from pipeline.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torchvision.transforms import v2

    from pipeline.runs.training_settings import Transform

Draw = tuple[int, int, int]
"""What the draws for a batch depend on: the run's seed, the epoch, and how many of its batches are done."""


class Augmentation:
    """Transforms, one after another; each is applied to all pictures of a batch before the next.

    Args:
        transforms: their settings.
        device: of the pictures; some transforms draw there.
    """

    def __init__(self, transforms: "Sequence[Transform]", device: torch.device) -> None:
        self._transforms = [(each.name, build(each)) for each in transforms]
        self._device = device

    def __call__(self, pictures: Tensor, draws: Sequence[Draw]) -> Tensor:
        """Return other pictures, (runs, batch, channels, height, width); runs with the same draw have the same batch.

        torch's global generators are as before.

        Args:
            pictures: float32 in [0, 1], of the same shape.
            draws: of each run.

        Raises:
            UserError: a transform does not take them, or returns another shape.
        """
        of_each: dict[Draw, Tensor] = {}
        for draw, batch in zip(draws, pictures, strict=True):
            if draw not in of_each:
                with _seeded(draw, self._device):
                    of_each[draw] = self._transformed(batch)
        return torch.stack([of_each[draw] for draw in draws])

    def _transformed(self, batch: Tensor) -> Tensor:
        shape = batch.shape
        for name, transform in self._transforms:
            try:
                batch = _apply(transform, batch)
            except Exception as error:  # whatever torchvision raises
                raise UserError(f"augment: {name}: {' '.join(str(error).split())}") from error
        if batch.shape != shape or not batch.is_floating_point():
            made, wanted = (" x ".join(map(str, each[1:])) for each in (batch.shape, shape))
            raise UserError(f"augment: the transforms make {made} of pictures of {wanted}, which must stay so")
        return batch


def _apply(transform: "v2.Transform", batch: Tensor) -> Tensor:
    """Return a batch, (pictures, channels, height, width), as if the transform were called with one after another."""
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
def _seeded(draw: Draw, device: torch.device) -> "Iterator[None]":
    """Seed torch's global generators for a while; they go on afterwards as if nothing had been drawn."""
    digest = hashlib.blake2b(repr(draw).encode(), digest_size=8).digest()
    with _kept(device):
        seed = int.from_bytes(digest, "little") >> 1
        torch.default_generator.manual_seed(seed)
        if device.type != "cpu":
            torch.get_device_module(device).manual_seed(seed)
        yield


def _kept(device: torch.device) -> AbstractContextManager[None]:
    if device.type == "cpu":
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng([device], device_type=device.type)
