"""One's own pictures, in torchvision's `ImageFolder` layout: `<class>/*.png`, or `train/<class>/*.png` and so on."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from pipeline.datasets import folders
from pipeline.datasets.published import Published
from pipeline.errors import UserError


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """The pictures under `path`, as `size` and `channels` say.

    Raises:
        UserError: the folder is not laid out so, a picture does not decode, or sizes differ and none is set.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS

    def read(files: list[Path]) -> NDArray[np.uint8]:
        return _pictures(files, settings["size"], "L" if settings["channels"] == 1 else "RGB")

    found = folders.load(settings, root, "image", IMG_EXTENSIONS, read)
    sizes = {f"{split.x.shape[2]} x {split.x.shape[3]}" for split in (found.train, found.val, found.test) if split}
    if len(sizes) > 1:
        raise UserError(
            f"{settings['path']}: the sizes of training and other pictures differ ({', '.join(sorted(sizes))}); "
            "set the dataset's size: [height, width]"
        )
    return found


def _pictures(files: list[Path], size: Sequence[int] | None, mode: str) -> NDArray[np.uint8]:
    """uint8 (examples, channels, height, width)."""
    height, width = size or _picture(files[0], None, mode).shape[:2]
    pictures = np.empty((len(files), height, width, len(mode)), dtype=np.uint8)
    for number, file in enumerate(files):
        picture = _picture(file, size, mode)
        if picture.shape[:2] != (height, width):
            raise UserError(
                f"{file}: {picture.shape[0]} x {picture.shape[1]} pixels, but {files[0].name} has {height} x {width}; "
                "set the dataset's size: [height, width]"
            )
        pictures[number] = picture.reshape(height, width, len(mode))
    return np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))


def _picture(file: Path, size: Sequence[int] | None, mode: str) -> NDArray[np.uint8]:
    try:
        with Image.open(file) as opened:
            picture = opened.convert(mode)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else str(error).splitlines()[0]
        raise UserError(f"{file}: a picture that does not decode ({reason})") from None
    if size is not None and (picture.height, picture.width) != tuple(size):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)
