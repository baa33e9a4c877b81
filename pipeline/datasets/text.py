"""Texts to numbers: a tokenizer with the vocabulary of the training split, and pretrained word vectors.

Words are runs of letters and digits, or of punctuation, in lower case; `<br />`, of which IMDb is full, is a space.
0 fills up a text that is shorter than its neighbours, 1 is any word outside the vocabulary.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PADDING, UNKNOWN = "<pad>", "<unk>"


def tokenizer(texts: Iterable[str], vocabulary_size: int) -> "Tokenizer":
    """A tokenizer that knows the ``vocabulary_size`` most frequent words of ``texts``, equals by letter."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    found = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    found.normalizer = normalizers.Sequence([normalizers.Replace("<br />", " "), normalizers.Lowercase()])
    found.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [PADDING, UNKNOWN]
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size + len(special), special_tokens=special, show_progress=False
    )
    found.train_from_iterator(texts, trainer)
    return found


def encode(by: "Tokenizer", texts: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Texts as numbers of words.

    Returns:
        `tokens`, uint16: those of all texts in a row; `offsets`, int64 (examples + 1,): where each begins, and the end.
    """
    encoded = [np.asarray(each.ids or [1], dtype=np.uint16) for each in by.encode_batch(list(texts))]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {"tokens": np.concatenate(encoded), "offsets": offsets}


def padded(tokens: NDArray[np.uint16], offsets: NDArray[np.int64], max_length: int) -> NDArray[np.int32]:
    """The texts as rows, cut off after ``max_length`` words and filled up with 0: (examples, longest)."""
    lengths = np.minimum(np.diff(offsets), max_length)
    positions = np.arange(lengths.max())
    inside = positions < lengths[:, np.newaxis]
    rows = np.zeros(inside.shape, dtype=np.int32)
    rows[inside] = tokens[(offsets[:-1, np.newaxis] + positions)[inside]]
    return rows


def vectors(path: Path, by: "Tokenizer") -> NDArray[np.float32]:
    """Pretrained vectors of the words of a vocabulary: (vocabulary, dimensions).

    A word that the file does not have gets a random one with the file's spread, always the same; padding gets 0.

    Args:
        path: a line a word: the word and its numbers, with spaces between (GloVe's text format).
        by: the tokenizer whose vocabulary counts.

    Raises:
        UserError: the file is not there, or a line of it is something else.
    """
    numbers: dict[str, int] = by.get_vocab()
    found: dict[int, NDArray[np.float32]] = {}
    dimensions = 0
    try:
        with path.open(encoding="utf-8") as lines:
            for line_number, line in enumerate(lines, start=1):
                word, *values = line.rstrip().split(" ")
                dimensions = dimensions or len(values)
                if len(values) != dimensions or not values:
                    raise UserError(f"{path}: line {line_number} has {len(values)} numbers, the first has {dimensions}")
                if (number := numbers.get(word)) is not None:
                    found[number] = np.asarray(values, dtype=np.float32)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; set the dataset's vectors, from the project's root or absolute"
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 (at byte {error.start})") from None
    except ValueError:
        raise UserError(f"{path}: line {line_number} is not a word and its numbers") from None
    if not found:
        raise UserError(f"{path}: has vectors of none of the vocabulary's words")
    spread = np.std(list(found.values()))
    table = np.random.default_rng(0).normal(0, spread, (len(numbers), dimensions)).astype(np.float32)
    table[list(found)] = list(found.values())
    table[0] = 0
    return table
