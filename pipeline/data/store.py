"""The prepared data: three safetensors files of compact arrays (no pickle) and a summary with their digests.

    data/train.safetensors  data/val.safetensors  data/test.safetensors  data/summary.json

Each split holds `y`, (examples,), and `x`: pictures as uint8 (examples, channels, height, width) or numbers as float32
(examples, features). Of texts it holds `tokens`, uint16, all in a row, and `offsets`, int64, where each begins; the
training split also pretrained `vectors`, if there are any, and `data/tokenizer.json` encodes other texts alike.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data.text import padded
from pipeline.errors import UserError

if TYPE_CHECKING:
    import torch

    from pipeline.settings.datasets import Kind

TOKENIZER = "tokenizer.json"
Name = Literal["train", "val", "test"]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Summary:
    """Facts about the prepared data."""

    dataset: str
    settings: dict[str, Any]
    """The dataset's settings, its name among them."""
    kind: "Kind"
    source: str
    digest: str
    """SHA-256 over the digests of the splits."""
    classes: list[str]
    """The names of the classes; empty where the targets are numbers."""
    white: int
    """The largest value that a pixel can have."""
    input_shape: list[int]
    """The shape of one example: (channels, height, width) or (features,); () for texts, which differ in length."""
    vocabulary_size: int
    """Word indices, padding and the unknown word included; 0 where there are no words."""
    examples: dict[str, int]
    digests: dict[str, str]
    """SHA-256 over the type, shape and bytes of each split's arrays."""


@dataclass(frozen=True)
class Split:
    """The examples of one split. Pictures are mapped from the file: workers that read the same split share memory."""

    x: "torch.Tensor"
    """As stored; texts as int32 (examples, longest), padded with 0."""
    y: "torch.Tensor"
    vectors: "torch.Tensor | None" = None
    """Pretrained vectors of the vocabulary, float32 (vocabulary, dimensions)."""

    def __len__(self) -> int:
        return len(self.y)


def summary(folder: Path) -> Summary:
    """Read the summary of what `prepare` stored in ``folder``.

    Raises:
        UserError: nothing, or something else.
    """
    path = folder / "summary.json"
    try:
        return Summary(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `uv run pipeline download` first") from None
    except (ValueError, TypeError):
        raise UserError(f"{path}: not a summary of data; run `uv run pipeline download` again") from None


def read(folder: Path, name: Name, max_length: int | None = None, subset: int | None = None) -> Split:
    """Read one split of what `prepare` stored in ``folder``, and check its digest.

    Args:
        folder: of the prepared data.
        name: of the split.
        max_length: how many words of a text to keep.
        subset: how many examples to take, the first ones (of classes, they are in random order); None: all.

    Raises:
        UserError: the file is missing, truncated or altered.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / f"{name}.safetensors"
    expected = summary(folder).digests[name]
    try:
        arrays = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `uv run pipeline download` first") from None
    except SafetensorError:
        raise UserError(f"{path}: truncated or altered; run `uv run pipeline download` again") from None
    if arrays_digest({key: array.numpy() for key, array in arrays.items()}) != expected:
        raise UserError(f"{path}: altered (its digest is not the summary's); run `uv run pipeline download` again")
    y = arrays["y"][:subset]
    if "x" in arrays:
        return Split(arrays["x"][:subset], y)
    assert max_length is not None  # pipeline.settings holds every task with texts to it
    offsets = arrays["offsets"].numpy()[: len(y) + 1]
    x = torch.from_numpy(padded(arrays["tokens"].numpy(), offsets, max_length))
    return Split(x, y, arrays.get("vectors"))


def example(folder: Path) -> NDArray[Any] | str:
    """One validation example as a served network takes it: (1, channels, height, width), (1, features), or a text."""
    from safetensors import safe_open

    with safe_open(folder / "val.safetensors", framework="np") as arrays:
        if "x" in arrays.keys():  # noqa: SIM118
            x: NDArray[Any] = arrays.get_slice("x")[:1]
            return x
        from tokenizers import Tokenizer

        start, end = arrays.get_slice("offsets")[:2]
        words: str = Tokenizer.from_file(str(folder / TOKENIZER)).decode(arrays.get_slice("tokens")[start:end].tolist())
        return words


def arrays_digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
