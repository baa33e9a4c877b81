"""The base class of data sets for text classification, with functions for their tokenizer and word vectors.

Each text becomes a sequence of word numbers. A word is a run of letters and digits, or a run of punctuation, converted
to lower case. The tag `<br />`, which is frequent in IMDb's reviews, counts as a space. The vocabulary comes from the
training split. The number 0 stands for padding, and 1 for any word outside the vocabulary.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.datasets.base import Dataset
from pipeline.datasets.raw import Encoded, RawData, RawSplit
from pipeline.datasets.store import TOKENIZER
from pipeline.errors import UserError
from pipeline.settings import UserPath

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN = "<pad>", "<unk>"


class Text(Dataset):
    """A data set of texts, each of which belongs to a class."""

    kind = "text"

    vocabulary_size: Annotated[int, Field(ge=1, le=65_000)] = 25_000
    """Maximum number of words in the vocabulary.

    The vocabulary contains the most frequent words of the training split. Any other word counts as unknown.
    """
    vectors: UserPath | None = None
    """A file of pretrained word vectors in GloVe's text format: each line has a word and the numbers of its vector."""

    @property
    def files(self) -> list[str]:
        return [*super().files, *filter(None, [self.vectors])]

    def encode(self, raw: RawData, splits: Mapping[str, RawSplit], root: Path) -> Encoded:
        tokenizer = train_tokenizer(splits["train"].x, self.vocabulary_size)
        arrays = {name: tokenize(tokenizer, split.x) | {"y": split.y} for name, split in splits.items()}
        if self.vectors is not None:
            arrays["train"]["vectors"] = vectors(root / self.vectors, tokenizer)
        return Encoded(
            arrays,
            vocabulary_size=tokenizer.get_vocab_size(),
            files={TOKENIZER: tokenizer.to_str()},
        )


def read_text(file: Path, encoding: str = "utf-8") -> str:
    """Return the text of a file.

    Raises:
        UserError: the file is not UTF-8.
    """
    try:
        return file.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: a text that is not UTF-8 (at byte {error.start})") from None


def train_tokenizer(texts: Iterable[str], vocabulary_size: int) -> "Tokenizer":
    """Return a tokenizer that knows the ``vocabulary_size`` most frequent words. Ties are broken alphabetically."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Replace("<br />", " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [PADDING, UNKNOWN]
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size + len(special), special_tokens=special, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokenize(tokenizer: "Tokenizer", texts: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Convert texts to word numbers.

    Returns:
        Two arrays, keyed by name. `tokens` (uint16) contains the word numbers of all texts, one text after another.
        `offsets` (int64, of shape (examples + 1,)) contains the position where each text begins, followed by the
        position where the last text ends.
    """
    numbers = [np.asarray(encoded.ids or [1], dtype=np.uint16) for encoded in tokenizer.encode_batch(list(texts))]
    offsets = np.cumsum([0, *map(len, numbers)], dtype=np.int64)
    return {"tokens": np.concatenate(numbers), "offsets": offsets}


def vectors(path: Path, tokenizer: "Tokenizer") -> NDArray[np.float32]:
    """Return pretrained vectors for the words of a vocabulary, as an array of shape (vocabulary, dimensions).

    A word that is not in the file gets a random vector, drawn with a fixed seed. The random numbers have the same
    standard deviation as the vectors found in the file. The vector for padding is zero.

    Args:
        path: a file in GloVe's text format: each line has a word and the numbers of its vector, separated by spaces.
        tokenizer: the tokenizer with the vocabulary.

    Raises:
        UserError: the file is missing, is not in this format, or contains none of the vocabulary's words.
    """
    numbers: dict[str, int] = tokenizer.get_vocab()
    known: dict[int, NDArray[np.float32]] = {}
    dimensions = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line_number, line in enumerate(lines, start=1):
                word, *values = line.rstrip().split(" ")
                dimensions = dimensions or len(values)
                if len(values) != dimensions or not values:
                    raise UserError(f"{path}: line {line_number} has {len(values)} numbers, the first has {dimensions}")
                if (number := numbers.get(word)) is not None:
                    known[number] = np.asarray(values, dtype=np.float32)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; set the dataset's vectors, from the project's root or absolute"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (at byte {error.start})") from None
    except ValueError:
        raise UserError(f"{path}: line {line_number} is not a word and its numbers") from None
    if not known:
        raise UserError(f"{path}: has no vector for any word of the vocabulary")
    spread = np.std(list(known.values()))
    table = np.random.default_rng(0).normal(0, spread, (len(numbers), dimensions)).astype(np.float32)
    table[list(known)] = list(known.values())
    table[0] = 0
    return table
