"""The data set `image-folder`: pictures in one of the user's own folders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.datasets.folders import Folder
from pipeline.datasets.raw import RawData
from pipeline.errors import UserError

Side = Annotated[int, Field(ge=1, le=4096)]


class ImageFolder(Folder):
    """Pictures in a folder of your own: `<class>/*.png`, or `train/<class>/*.png` and so on."""

    name: str = "image-folder"
    size: Annotated[list[Side], Field(min_length=2, max_length=2)] | None = None
    """The height and width, in pixels, to which every picture is resized. If null, no picture is resized, and all
    pictures must have the same size."""
    channels: Literal[1, 3] = 3
    """1 for greyscale, 3 for red, green and blue."""

    def load(self, root: Path) -> RawData:
        from torchvision.datasets.folder import IMG_EXTENSIONS

        mode = "L" if self.channels == 1 else "RGB"
        raw = self.read(root, IMG_EXTENSIONS, lambda files: _pictures(files, self.size, mode))
        sizes = {f"{split.x.shape[2]} x {split.x.shape[3]}" for split in (raw.train, raw.val, raw.test) if split}
        if len(sizes) > 1:
            raise UserError(
                f"{self.path}: the splits have pictures of different sizes ({', '.join(sorted(sizes))}); "
                "set the dataset's size: [height, width]"
            )
        return raw


def _pictures(files: list[Path], size: Sequence[int] | None, mode: str) -> NDArray[np.uint8]:
    """Return the pictures in ``files`` as a uint8 array of shape (examples, channels, height, width)."""
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
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as opened:
            picture = opened.convert(mode)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        reason = "no known format" if isinstance(error, UnidentifiedImageError) else str(error).splitlines()[0]
        raise UserError(f"{file}: cannot be decoded as a picture ({reason})") from None
    if size is not None and (picture.height, picture.width) != tuple(size):
        picture = picture.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(picture)
