"""The prepared data: three safetensors files of compact arrays (no pickle) and a summary with their digests.

    data/train.safetensors  data/val.safetensors  data/test.safetensors  data/summary.json

Each part holds `x`, uint8 (examples, channels, height, width), and `y`, uint8 (examples,).
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.arrays import Arrays
from pipeline.errors import UserError
from pipeline.files import replacing

if TYPE_CHECKING:
    import torch

SPLIT_SEED = 0
Name = Literal["train", "val", "test"]


@dataclass(frozen=True)
class Summary:
    """What one wants to know of the prepared data without reading them."""

    dataset: str
    source: str
    digest: str
    """SHA-256 over the digests of the parts."""
    classes: list[str]
    white: int
    input_shape: list[int]
    """(channels, height, width)"""
    examples: dict[str, int]
    digests: dict[str, str]
    """Of each part: SHA-256 over the type, shape and bytes of `x` and `y`."""


@dataclass(frozen=True)
class Part:
    """The arrays of one part, mapped from the file: workers that read the same part share its memory."""

    x: "torch.Tensor"
    y: "torch.Tensor"


def prepare(dataset: str, folder: Path, downloads: Path) -> Summary:
    """Get ``dataset``, carve its validation part from the training part, and store all three in ``folder``.

    The carving is stratified by class and has a seed of its own: every run, whatever its seed, trains and
    validates on the same pictures.

    Args:
        dataset: the module of `pipeline.data` that is its source.
        folder: where to.
        downloads: where files from the network are kept.

    Raises:
        UserError: the data cannot be had, or are not what they should be.
    """
    from safetensors.numpy import save
    from sklearn.model_selection import train_test_split

    arrays: Arrays = import_module(f"pipeline.data.{dataset}").load(downloads)
    train_x, val_x, train_y, val_y = train_test_split(
        arrays.train_x,
        arrays.train_y,
        test_size=arrays.val_examples,
        random_state=SPLIT_SEED,
        stratify=arrays.train_y,
    )
    parts = {"train": (train_x, train_y), "val": (val_x, val_y), "test": (arrays.test_x, arrays.test_y)}
    digests = {name: _digest(*part) for name, part in parts.items()}
    prepared = Summary(
        dataset=dataset,
        source=arrays.source,
        digest=hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        classes=arrays.classes,
        white=arrays.white,
        input_shape=list(train_x.shape[1:]),
        examples={name: len(y) for name, (_, y) in parts.items()},
        digests=digests,
    )
    with replacing(folder) as draft:
        draft.mkdir()
        for name, (x, y) in parts.items():
            content = save({"x": np.ascontiguousarray(x), "y": np.ascontiguousarray(y)})
            (draft / f"{name}.safetensors").write_bytes(content)
        (draft / "summary.json").write_text(json.dumps(asdict(prepared), indent=2) + "\n", encoding="utf-8")
    return prepared


def summary(folder: Path) -> Summary:
    """What `prepare` stored in ``folder``.

    Raises:
        UserError: nothing, or something else.
    """
    path = folder / "summary.json"
    try:
        return Summary(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `python -m pipeline download` first") from None
    except (ValueError, TypeError):
        raise UserError(f"{path}: not a summary of data; run `python -m pipeline download` again") from None


def read(folder: Path, name: Name) -> Part:
    """One part of what `prepare` stored in ``folder``, after a check of its digest.

    Raises:
        UserError: the file is missing, truncated or altered.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / f"{name}.safetensors"
    expected = summary(folder).digests[name]
    try:
        arrays = load_file(path)
        x, y = arrays["x"], arrays["y"]
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `python -m pipeline download` first") from None
    except (SafetensorError, KeyError):
        raise UserError(f"{path}: truncated or altered; run `python -m pipeline download` again") from None
    if _digest(x.numpy(), y.numpy()) != expected:
        raise UserError(f"{path}: altered (its digest is not the summary's); run `python -m pipeline download` again")
    return Part(x, y)


def example(folder: Path) -> NDArray[np.uint8]:
    """One validation picture as the network is given it: (1, channels, height, width)."""
    from safetensors import safe_open

    with safe_open(folder / "val.safetensors", framework="np") as arrays:
        x: NDArray[np.uint8] = arrays.get_slice("x")[:1]
        return x


def _digest(*arrays: NDArray[Any]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
