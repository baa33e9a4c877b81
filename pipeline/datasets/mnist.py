"""MNIST."""

import gzip
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.base import Dataset
from pipeline.datasets.fetch import fetch
from pipeline.datasets.raw import RawData, RawSplit

VAL_EXAMPLES = 5_000


class MNIST(Dataset):
    """60,000 training and 10,000 test pictures of handwritten digits, with 28 x 28 pixels.

    Source: LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition". The URLs
    and the checksums come from torchvision.
    """

    name: str = "mnist"

    def load(self, root: Path) -> RawData:
        """Return the digits from an earlier download, from `DATA_MIRROR`, or from torchvision's mirrors."""
        from torchvision.datasets import MNIST as TORCHVISIONS

        train_x, train_y, test_x, test_y = (
            fetch(f"mnist/{name}", [mirror + name for mirror in TORCHVISIONS.mirrors], root, _decoded, md5)
            for name, md5 in TORCHVISIONS.resources
        )
        return RawData(
            source=TORCHVISIONS.mirrors[0],
            train=RawSplit(train_x[:, np.newaxis], train_y),
            test=RawSplit(test_x[:, np.newaxis], test_y),
            val_size=VAL_EXAMPLES,
            classes=[str(digit) for digit in range(10)],
        )


def _decoded(archive: Path) -> NDArray[np.uint8]:
    """Return the array in a gzipped IDX file. torchvision reads only unpacked files, so the file is unpacked first."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with tempfile.NamedTemporaryFile() as plain:
        plain.write(gzip.decompress(archive.read_bytes()))
        plain.flush()
        try:
            array: NDArray[np.uint8] = read_sn3_pascalvincent_tensor(plain.name).numpy()
        except Exception as error:
            raise ValueError(f"not an IDX file ({type(error).__name__})") from None
    return array
