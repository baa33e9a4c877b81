"""The base class of data sets for language models. A text becomes a sequence of tokens, which is cut into windows.

The setting `tokens` selects the kind of tokens. With `characters`, each character that occurs in the training part is a
token, and all other characters share a single token. With `bpe`, tokens are parts of words. These parts are found by
byte-level byte-pair encoding (Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", section 2.2),
which can encode any text.
"""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from pipeline.datasets.base import Dataset, Fraction
from pipeline.datasets.raw import Encoded, RawData, RawSplit
from pipeline.datasets.store import TOKENIZER, Arrays, Language
from pipeline.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""The token for all characters that do not occur in the training part."""
MOST = 2**16
"""Maximum number of different tokens. Each token is stored in 16 bits."""
PIECE = 2**16
"""Number of characters to tokenize at once. The tokenizers library needs about 100 bytes of memory for each token."""
PARTS = {"train": "training", "val": "validation", "test": "test"}
EMPTY: NDArray[Any] = np.empty(0, dtype=np.uint16)


class Tokens(Dataset):
    """The base class of all data sets for language models."""

    kind = "tokens"
    losses = ("next-token",)

    tokens: Literal["characters", "bpe"] = "characters"
    """The kind of tokens: `characters`, or `bpe` (byte-level byte-pair encoding) for parts of words."""
    vocabulary_size: Annotated[int, Field(ge=257, le=65_000)] | None = None
    """Maximum number of different tokens. This setting is for `bpe` only."""
    context: Annotated[int, Field(ge=1, le=65_536)]
    """Number of tokens in a window. A model sees at most this many tokens at once."""
    val_share: Fraction = 0.1
    """Share of the training part to cut off at its end for validation."""
    test_share: Fraction = 0.1
    """Share of the text to cut off at its end for testing."""

    @model_validator(mode="after")
    def _size_is_for_bpe(self) -> "Tokens":
        is_bpe = self.tokens == "bpe"
        if is_bpe != (self.vocabulary_size is not None):
            raise ValueError("vocabulary_size is missing" if is_bpe else "vocabulary_size is for tokens: bpe only")
        return self

    def split(self, source: str, text: str, test: str | None = None) -> RawData:
        """Cut a text into a training part, a validation part and a test part, in this order, and return the parts.

        Args:
            source: a readable description of where the text comes from.
            text: the whole text, or the text without the test part if ``test`` is given.
            test: the test part. If None, the test part is cut off at the end of ``text``.
        """
        if test is None:
            text, test = _cut(text, self.test_share)
        train, val = _cut(text, self.val_share)
        return RawData(source, RawSplit(train, EMPTY), RawSplit(val, EMPTY), RawSplit(test, EMPTY))

    def encode(self, raw: RawData, splits: Mapping[str, RawSplit], root: Path) -> Encoded:
        texts: dict[str, str] = {name: split.x for name, split in splits.items()}
        if self.vocabulary_size is None:
            tokenizer = _characters(texts["train"])
        else:
            tokenizer = _parts_of_words(texts["train"], self.vocabulary_size)
        size = tokenizer.get_vocab_size()
        if size > MOST:
            raise UserError(f"{raw.source}: has {size:,} different characters, more than {MOST:,}; set tokens: bpe")
        numbers = {name: tokenize(tokenizer, text) for name, text in texts.items()}
        for name, tokens in numbers.items():
            if len(tokens) <= self.context:
                raise UserError(
                    f"{raw.source}: the {PARTS[name]} part has {len(tokens)} tokens, but a window takes "
                    f"{self.context + 1} (the context and the next token); use a longer text, a smaller context, or "
                    "other shares"
                )
        arrays: dict[str, Arrays] = {name: {"tokens": tokens} for name, tokens in numbers.items()}
        digest = hashlib.sha256(tokenizer.to_str().encode()).digest()
        arrays["train"]["tokenizer"] = np.frombuffer(digest, dtype=np.uint8)
        windows = {name: (len(tokens) - 1) // self.context for name, tokens in numbers.items()}
        targets = numbers["test"][1 : windows["test"] * self.context + 1]
        entropy = _entropy(numbers["train"], targets, size)
        language = Language(entropy, len(texts["test"]) / len(numbers["test"]))
        notes = [f"{size:,} different tokens; a window has {self.context} of them and the next", language.bar()]
        return Encoded(
            arrays,
            examples=windows,
            input_shape=[self.context],
            vocabulary_size=size,
            files={TOKENIZER: tokenizer.to_str()},
            language=language,
            notes=notes + self._unknown(numbers),
        )

    def _unknown(self, numbers: Mapping[str, NDArray[np.uint16]]) -> list[str]:
        """Return notes about characters that the training part lacks, or none for `bpe`, which can encode any text."""
        counts = {PARTS[name]: int((numbers[name] == 0).sum()) for name in ("val", "test")}
        if self.tokens == "bpe" or not any(counts.values()):
            return []
        parts = " and ".join(f"{count:,} of the {name} part" for name, count in counts.items() if count)
        return [f"characters that do not occur in the training part share one token: {parts}"]


def _characters(text: str) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models

    alphabet = [UNKNOWN, *sorted({*text} - {UNKNOWN})]
    vocabulary = {character: number for number, character in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN, fuse_unk=False))
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _parts_of_words(text: str, vocabulary_size: int) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary_size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(_pieces(text), trainer)
    return tokenizer


def _cut(text: str, share: float) -> tuple[str, str]:
    end = len(text) - round(share * len(text))
    return text[:end], text[end:]


def tokenize(tokenizer: "Tokenizer", text: str) -> NDArray[np.uint16]:
    """Return the token numbers of a text as an array of shape (tokens,)."""
    pieces = [np.asarray(tokenizer.encode(piece).ids, dtype=np.uint16) for piece in _pieces(text)]
    return np.concatenate([EMPTY, *pieces])


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def _entropy(train: NDArray[np.uint16], targets: NDArray[np.uint16], size: int) -> float:
    """Return the cross-entropy of ``targets``, in nats per token, as described in `Language.unigram_entropy`."""
    counts = np.bincount(train, minlength=size) + 1
    return float(-np.log(counts / counts.sum())[targets].mean())
