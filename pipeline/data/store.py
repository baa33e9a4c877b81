"""The prepared data: three safetensors files of compact arrays (no pickle) and a summary with their digests.

    data/train.safetensors  data/val.safetensors  data/test.safetensors  data/summary.json

Each part holds `y`, (examples,), and `x`: pictures as uint8 (examples, channels, height, width) or numbers as float32
(examples, features). Of texts it holds `tokens`, uint16, all in a row, and `offsets`, int64, where each begins; the
training part also pretrained `vectors`, if there are any, and `data/tokenizer.json` makes the same numbers of others.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.data import text
from pipeline.data.published import Examples, Published
from pipeline.errors import UserError
from pipeline.files import replacing
from pipeline.settings.datasets import Kind

if TYPE_CHECKING:
    import torch

SPLIT_SEED = 0
TOKENIZER = "tokenizer.json"
Name = Literal["train", "val", "test"]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Summary:
    """What one wants to know of the prepared data without reading them."""

    dataset: str
    settings: dict[str, Any]
    """The dataset's settings, its name among them."""
    kind: Kind
    source: str
    digest: str
    """SHA-256 over the digests of the parts."""
    classes: list[str]
    """None where the targets are numbers."""
    white: int
    """The largest value that a pixel can have."""
    input_shape: list[int]
    """Of one example: (channels, height, width) or (features,); of a text (), as texts differ in length."""
    vocabulary_size: int
    """How many numbers of words there are, padding and the unknown word included; 0 where there are no words."""
    examples: dict[str, int]
    digests: dict[str, str]
    """Of each part: SHA-256 over the type, shape and bytes of its arrays."""


@dataclass(frozen=True)
class Split:
    """The examples of one part. Pictures are mapped from the file: workers that read the same part share memory."""

    x: "torch.Tensor"
    """As stored; texts as int32 (examples, longest), filled up with 0."""
    y: "torch.Tensor"
    vectors: "torch.Tensor | None" = None
    """Pretrained vectors of the vocabulary, float32 (vocabulary, dimensions)."""

    def __len__(self) -> int:
        return len(self.y)


def prepare(settings: Mapping[str, Any], folder: Path, root: Path) -> Summary:
    """Get a data set, set a validation part aside where it has none, and store all three parts in ``folder``.

    Setting aside is stratified by class and has a seed of its own: every run, whatever its seed, trains and
    validates on the same examples. The vocabulary of texts is that of the training part.

    Args:
        settings: of the data set; `name` is the module of `pipeline.data` that is its source.
        folder: where to.
        root: the project's folder: relative paths begin there, and downloads are kept there.

    Raises:
        UserError: the data cannot be had, or are not what they should be.
    """
    from safetensors.numpy import save

    source = import_module(f"pipeline.data.{settings['name'].replace('-', '_')}")
    published: Published = source.load(settings, root)
    examples = _parts(published)
    tokenizer = None
    parts: dict[str, Arrays]
    if published.kind == "text":
        tokenizer = text.tokenizer(examples["train"].x, settings["vocabulary_size"])
        parts = {name: text.encode(tokenizer, part.x) | {"y": part.y} for name, part in examples.items()}
        if settings["vectors"] is not None:
            parts["train"]["vectors"] = text.vectors(root / settings["vectors"], tokenizer)
    else:
        parts = {name: {"x": np.asarray(part.x), "y": part.y} for name, part in examples.items()}
    digests = {name: _digest(arrays) for name, arrays in parts.items()}
    prepared = Summary(
        dataset=settings["name"],
        settings=dict(settings),
        kind=published.kind,
        source=published.source,
        digest=hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        classes=list(published.classes),
        white=published.white,
        input_shape=[] if tokenizer else list(parts["train"]["x"].shape[1:]),
        vocabulary_size=tokenizer.get_vocab_size() if tokenizer else 0,
        examples={name: len(part) for name, part in examples.items()},
        digests=digests,
    )
    with replacing(folder) as draft:
        draft.mkdir()
        for name, arrays in parts.items():
            content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
            (draft / f"{name}.safetensors").write_bytes(content)
        if tokenizer:
            (draft / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
        (draft / "summary.json").write_text(json.dumps(asdict(prepared), indent=2) + "\n", encoding="utf-8")
    return prepared


def _parts(published: Published) -> dict[str, Examples]:
    train, val, test = published.train, published.val, published.test
    if test is None:
        train, test = _set_aside(published, train, published.test_size, "testing")
    if val is None:
        train, val = _set_aside(published, train, published.val_size, "validation")
    elif published.classes and train is published.train:  # in the order of its classes: a subset would be one class
        train = _taken(published, train, np.random.default_rng(SPLIT_SEED).permutation(len(train)))
    return {"train": train, "val": val, "test": test}


def _set_aside(of: Published, examples: Examples, size: float, purpose: str) -> tuple[Examples, Examples]:
    """The rest, and ``size`` examples of all classes alike."""
    from sklearn.model_selection import train_test_split

    try:
        places = train_test_split(
            np.arange(len(examples)), test_size=size, random_state=SPLIT_SEED, stratify=examples.y
        )
    except ValueError:
        numbers = ", ".join(
            f"{count} of {name!r}" for name, count in zip(of.classes, np.bincount(examples.y), strict=False)
        )
        raise UserError(
            f"{of.source}: too few examples ({numbers}) to set {size} aside for {purpose}; at least one of each class"
        ) from None
    rest, aside = (_taken(of, examples, part) for part in places)
    return rest, aside


def _taken(of: Published, examples: Examples, places: NDArray[np.int64]) -> Examples:
    """The examples at ``places``, in that order."""
    x: Any = [examples.x[place] for place in places] if of.kind == "text" else np.asarray(examples.x)[places]
    return Examples(x, examples.y[places])


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


def read(folder: Path, name: Name, max_length: int | None = None, subset: int | None = None) -> Split:
    """One part of what `prepare` stored in ``folder``, after a check of its digest.

    Args:
        folder: of the prepared data.
        name: of the part.
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
        raise UserError(f"{path}: no such file; run `python -m pipeline download` first") from None
    except SafetensorError:
        raise UserError(f"{path}: truncated or altered; run `python -m pipeline download` again") from None
    if _digest({key: array.numpy() for key, array in arrays.items()}) != expected:
        raise UserError(f"{path}: altered (its digest is not the summary's); run `python -m pipeline download` again")
    y = arrays["y"][:subset]
    if "x" in arrays:
        return Split(arrays["x"][:subset], y)
    assert max_length is not None  # pipeline.settings holds every task with texts to it
    offsets = arrays["offsets"].numpy()[: len(y) + 1]
    x = torch.from_numpy(text.padded(arrays["tokens"].numpy(), offsets, max_length))
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


def _digest(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
