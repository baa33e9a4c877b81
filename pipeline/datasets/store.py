"""The prepared data: three safetensors files of compact arrays, and a summary with the digests of the splits.

    data/train.safetensors  data/val.safetensors  data/test.safetensors  data/summary.json

Each split contains its targets as `y`, an array of shape (examples,), and its examples in one of these forms:

- Pictures are stored as `x`, a uint8 array of shape (examples, channels, height, width).
- Numbers are stored as `x`, a float32 array of shape (examples, features). For a table, the encoding is in
  `data/encoding.json`.
- Texts are stored one after another in `tokens`, a uint16 array. Another array, `offsets` (int64), says where each text
  begins. If there are pretrained word vectors, the training split also contains them as `vectors`. The tokenizer is in
  `data/tokenizer.json`.
- A text for a language model is stored only as `tokens`, without `y`. The function `read` cuts the tokens into
  windows. The tokenizer is in `data/tokenizer.json`.

For a table or a language model, the training split also contains the digest of the encoding or tokenizer. A change to
either therefore changes the digest of the training split.
"""

import hashlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError
from pipeline.settings import ExampleKind

if TYPE_CHECKING:
    import torch

TOKENIZER = "tokenizer.json"
ENCODING = "encoding.json"
"""The file with the encoding of a table: see `pipeline.datasets.columns`."""
LARGEST_LOSS = 700.0
"""If a loss exceeds this limit, its perplexity counts as infinite, because computing it could overflow."""
Name = Literal["train", "val", "test"]
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Target:
    """The name and the scale of a regression target, which is standardised for training."""

    name: str
    deviation: float
    """Standard deviation of the target in the training split."""
    test_variance: float
    """Variance of the target in the test split."""

    def figures(self, losses: Sequence[float]) -> dict[str, float]:
        """Return R^2 and the RMSE, averaged over the networks. The RMSE is in the target's units.

        R^2 is the share of the target's variance that a network explains in the test split, or NaN if that variance is
        0.

        Args:
            losses: the mean squared error of each network on the standardised targets of the test split.
        """
        squares = [self.deviation**2 * loss for loss in losses]
        explained = [1 - square / self.test_variance if self.test_variance else math.nan for square in squares]
        return {"r2": statistics.fmean(explained), "rmse": statistics.fmean(map(math.sqrt, squares))}


@dataclass(frozen=True)
class Language:
    """Facts about a text that put a language model's losses in perspective."""

    unigram_entropy: float
    """The cross-entropy of the test tokens, in nats per token, if the probability of each token is proportional to 1
    plus its count in the training part."""
    characters_per_token: float

    def figures(self, losses: Sequence[float]) -> dict[str, float]:
        """Return the perplexity and the bits per character, averaged over the networks, given their test losses."""
        perplexities = [math.inf if loss > LARGEST_LOSS else math.exp(loss) for loss in losses]
        bits = statistics.fmean(losses) / (math.log(2) * self.characters_per_token)
        return {"perplexity": statistics.fmean(perplexities), "bits_per_character": bits}

    def bar(self) -> str:
        """Return a line that says which loss a useful language model must beat."""
        return (
            f"a model must beat a loss of {self.unigram_entropy:.4g} nats a token (a perplexity of "
            f"{math.exp(self.unigram_entropy):.4g}), which is what guessing by token frequency achieves"
        )


@dataclass(frozen=True)
class Summary:
    """Facts about the prepared data."""

    dataset: str
    settings: dict[str, Any]
    """The settings of the data set, including its name."""
    kind: ExampleKind
    source: str
    digest: str
    """The SHA-256 digest of the digests of all splits."""
    classes: list[str]
    """The names of the classes, or an empty list if the targets are not classes."""
    white: int
    """The largest value that a pixel can have."""
    input_shape: list[int]
    """The shape of one example: (channels, height, width) for pictures, (features,) for numbers, (context,) for tokens,
    and () for texts, because their lengths differ."""
    vocabulary_size: int
    """The number of different words (including padding and the unknown word) or tokens, or 0 for pictures and
    numbers."""
    examples: dict[str, int]
    digests: dict[str, str]
    """Maps each split to the SHA-256 digest of its arrays, as computed by `arrays_digest`."""
    target: Target | None = None
    """For regression on a table, the target; otherwise None."""
    language: Language | None = None
    """For a language model, facts about its text; otherwise None."""

    @property
    def units(self) -> Target | Language | None:
        """The object that converts losses to more readable units, or None if no conversion is needed."""
        return self.target or self.language

    @classmethod
    def of(cls, text: str) -> "Summary":
        """Parse the JSON that the method `text` returned, and return the summary.

        Raises:
            ValueError: the text is not valid JSON.
            TypeError: the JSON is not a summary.
        """
        content = json.loads(text)
        for name, kind in (("target", Target), ("language", Language)):
            if name in content:
                content[name] = kind(**content[name])
        return cls(**content)

    def text(self) -> str:
        """Return the summary as JSON. The keys `target` and `language` are left out if their values are None."""
        content = {key: value for key, value in asdict(self).items() if value is not None}
        return json.dumps(content, indent=2) + "\n"


@dataclass(frozen=True)
class Split:
    """The examples of one split. Pictures are memory-mapped from their file, so all workers share the same memory."""

    x: "torch.Tensor"
    """The examples: pictures and numbers as they are stored, texts as an int32 tensor of shape (examples, longest text)
    that is padded with 0, and tokens as a uint16 tensor of shape (windows, context)."""
    y: "torch.Tensor"
    """The targets, a tensor of shape (examples,). For tokens, the shape is (windows, context), and the target of each
    token is the next token."""
    vectors: "torch.Tensor | None" = None
    """Pretrained word vectors, a float32 tensor of shape (vocabulary, dimensions), or None if there are none."""

    def __len__(self) -> int:
        return len(self.y)


def summary(folder: Path) -> Summary:
    """Return the summary of the prepared data in ``folder``.

    Raises:
        UserError: the file with the summary is missing, or is not a summary.
    """
    path = folder / "summary.json"
    try:
        return Summary.of(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `uv run pipeline download` first") from None
    except (ValueError, TypeError, AttributeError):
        raise UserError(f"{path}: not a summary of data; run `uv run pipeline download` again") from None


def read(folder: Path, name: Name, max_length: int | None = None, subset: int | None = None) -> Split:
    """Return one split of the prepared data, after checking that its digest matches the one in the summary.

    Args:
        folder: the folder with the prepared data.
        name: the name of the split.
        max_length: the maximum number of words to use from each text.
        subset: the number of examples to take from the start of the split, or None for all examples. For
            classification, these are a random sample, because the training examples are stored in random order.

    Raises:
        UserError: the file of the split is missing, truncated or altered.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / f"{name}.safetensors"
    facts = summary(folder)
    try:
        arrays = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run `uv run pipeline download` first") from None
    except SafetensorError:
        raise UserError(f"{path}: truncated or altered; run `uv run pipeline download` again") from None
    if arrays_digest({key: array.numpy() for key, array in arrays.items()}) != facts.digests[name]:
        raise UserError(f"{path}: altered (its digest is not the summary's); run `uv run pipeline download` again")
    if facts.kind == "tokens":
        (context,) = facts.input_shape
        windows = arrays["tokens"].unfold(0, context + 1, context)[:subset]  # a view, so no tokens are copied
        return Split(windows[:, :-1], windows[:, 1:])
    y = arrays["y"][:subset]
    if "x" in arrays:
        return Split(arrays["x"][:subset], y)
    assert max_length is not None  # every task with texts sets max_length
    offsets = arrays["offsets"].numpy()[: len(y) + 1]
    x = torch.from_numpy(padded(arrays["tokens"].numpy(), offsets, max_length))
    return Split(x, y, arrays.get("vectors"))


def padded(tokens: NDArray[np.uint16], offsets: NDArray[np.int64], max_length: int) -> NDArray[np.int32]:
    """Return the texts as an array of shape (texts, length of the longest text).

    Each text is cut off after ``max_length`` words and padded with zeros.
    """
    lengths = np.minimum(np.diff(offsets), max_length)
    positions = np.arange(lengths.max())
    inside = positions < lengths[:, np.newaxis]
    rows = np.zeros(inside.shape, dtype=np.int32)
    rows[inside] = tokens[(offsets[:-1, np.newaxis] + positions)[inside]]
    return rows


def arrays_digest(arrays: Arrays) -> str:
    """Return the SHA-256 digest of the names, types, shapes and bytes of the arrays."""
    digest = hashlib.sha256()
    for key in sorted(arrays):
        array = arrays[key]
        digest.update(f"{key} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
