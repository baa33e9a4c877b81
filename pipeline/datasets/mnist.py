"""MNIST: 60,000 + 10,000 handwritten digits of 28 x 28 pixels.

Source: LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document recognition". Addresses
and checksums are torchvision's.
"""

import gzip
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.fetch import fetch
from pipeline.datasets.published import Examples, Published

VAL_EXAMPLES = 5_000


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """The four files, from ``DATA_MIRROR``, torchvision's mirrors, or where an earlier call left them under ``root``.

    Raises:
        UserError: no address has them, or what it has is not MNIST.
    """
    from torchvision.datasets import MNIST

    train_x, train_y, test_x, test_y = (
        fetch(f"mnist/{name}", [mirror + name for mirror in MNIST.mirrors], root, _decoded, md5)
        for name, md5 in MNIST.resources
    )
    return Published(
        kind="image",
        source=MNIST.mirrors[0],
        train=Examples(train_x[:, np.newaxis], train_y),
        test=Examples(test_x[:, np.newaxis], test_y),
        val_size=VAL_EXAMPLES,
        classes=[str(digit) for digit in range(10)],
    )


def _decoded(archive: Path) -> NDArray[np.uint8]:
    """The array of a gzipped IDX file, by torchvision's reader, which wants it plain, and asserts that it is one."""
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with tempfile.NamedTemporaryFile() as plain:
        plain.write(gzip.decompress(archive.read_bytes()))
        plain.flush()
        try:
            array: NDArray[np.uint8] = read_sn3_pascalvincent_tensor(plain.name).numpy()
        except Exception as error:
            raise ValueError(f"no IDX file ({type(error).__name__})") from None
    return array
