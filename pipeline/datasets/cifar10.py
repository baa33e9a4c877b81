"""CIFAR-10.

The published archive contains pickle files. Each pickle file must match its published checksum. The unpickler can
import only the parts of NumPy that are needed to read arrays.
"""

import hashlib
import io
import pickle
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.base import Dataset
from pipeline.datasets.fetch import fetch
from pipeline.datasets.raw import RawData, RawSplit

VAL_EXAMPLES = 5_000
SHAPE = (3, 32, 32)


class CIFAR10(Dataset):
    """50,000 training and 10,000 test photographs in colour, with 32 x 32 pixels and ten classes.

    Source: Krizhevsky 2009, "Learning Multiple Layers of Features from Tiny Images". The URL and the checksums come
    from torchvision.
    """

    name: str = "cifar10"

    def load(self, root: Path) -> RawData:
        """Return the pictures and labels from an earlier download, from `DATA_MIRROR`, or from torchvision's URL."""
        from torchvision.datasets import CIFAR10 as TORCHVISIONS

        name, url, md5 = f"cifar10/{TORCHVISIONS.filename}", TORCHVISIONS.url, TORCHVISIONS.tgz_md5
        train, test, classes = fetch(name, [url], root, _decoded, md5)
        return RawData(source=url, train=train, test=test, val_size=VAL_EXAMPLES, classes=classes)


def _decoded(archive: Path) -> tuple[RawSplit, RawSplit, list[str]]:
    from torchvision.datasets import CIFAR10 as TORCHVISIONS

    with tarfile.open(archive) as files:

        def content(name: str, md5: str, *keys: bytes) -> dict[bytes, Any]:
            file = files.extractfile(f"{TORCHVISIONS.base_folder}/{name}")
            packed = file.read() if file else b""
            if hashlib.md5(packed).hexdigest() != md5:
                raise ValueError(f"the checksum of {name} in the archive is not the published one")
            return unpickled(packed, name, *keys)

        meta = content(TORCHVISIONS.meta["filename"], TORCHVISIONS.meta["md5"], b"label_names")
        classes = [name.decode() for name in meta[b"label_names"]]
        train, test = (
            _joined([content(name, md5, b"data", b"labels") for name, md5 in batches], len(classes))
            for batches in (TORCHVISIONS.train_list, TORCHVISIONS.test_list)
        )
    return train, test, classes


def unpickled(packed: bytes, name: str, *keys: bytes) -> dict[bytes, Any]:
    """Return the entries with the given keys from a pickled dictionary of arrays, lists and strings.

    Raises:
        ValueError: ``packed`` cannot be unpickled, or lacks a key. The message gives the file's ``name``.
    """
    try:
        unpacked = _Arrays(io.BytesIO(packed), encoding="bytes").load()
        return {key: unpacked[key] for key in keys}
    except Exception as error:  # unpickling can raise any exception
        raise ValueError(f"{name} in the archive cannot be read ({error})") from None


def _joined(batches: Sequence[dict[bytes, Any]], classes: int) -> RawSplit:
    x = np.concatenate([batch[b"data"] for batch in batches]).reshape(-1, *SHAPE)
    y = np.concatenate([np.asarray(batch[b"labels"], dtype=np.uint8) for batch in batches])
    if len(x) != len(y) or y.max() >= classes:
        raise ValueError("its labels do not fit its pictures")
    return RawSplit(x, y)


class _Arrays(pickle.Unpickler):
    """An unpickler that can import only what is needed to unpickle arrays from old and new versions of NumPy."""

    ALLOWED = frozenset(
        [
            ("numpy.core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
        ]
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise ValueError(f"it uses {module}.{name}, which no picture needs")
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
