"""A text as one row of tokens, in windows from which a model learns what comes next.

Characters are byte-pair encoding without merges: each character of the training part is a token, all others are one.
Parts of words are byte-level byte-pair encoding (Radford et al. 2019, "Language Models are Unsupervised Multitask
Learners", section 2.2), which knows every text.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.published import Examples, Published
from pipeline.datasets.store import Arrays, Language
from pipeline.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""The token of all characters that the training part lacks."""
MOST = 2**16
"""Most tokens, as each is stored in 16 bits."""
PART = 2**16
"""Characters that are encoded at once: of each token the library remembers a hundred bytes."""
PARTS = {"train": "training", "val": "validation", "test": "test"}
TARGETS: NDArray[Any] = np.empty(0, dtype=np.uint16)
"""Each token is the target of the one before it, so that there are no others."""


@dataclass(frozen=True)
class Corpus:
    """The parts of a text as tokens."""

    tokenizer: "Tokenizer"
    splits: dict[str, Arrays]
    examples: dict[str, int]
    """Windows of each part."""
    language: Language
    notes: list[str]
    """What to tell the user, a line each."""


def published(source: str, text: str, settings: Mapping[str, Any], test: str | None = None) -> Published:
    """Split a text by position: the training part first, then validation, then test.

    Args:
        source: the origin of the text, for people to read.
        text: all of it; or all but the test part.
        settings: of the data set: `val_share` and `test_share`.
        test: the test part, if it is apart.
    """
    if test is None:
        text, test = _cut(text, settings["test_share"])
    train, val = _cut(text, settings["val_share"])
    parts = [Examples(part, TARGETS) for part in (train, val, test)]
    return Published(kind="tokens", source=source, train=parts[0], val=parts[1], test=parts[2])


def _cut(text: str, share: float) -> tuple[str, str]:
    end = len(text) - round(share * len(text))
    return text[:end], text[end:]


def corpus(texts: Mapping[str, str], settings: Mapping[str, Any], source: str) -> Corpus:
    """Encode the parts of a text by what the training part says.

    Args:
        texts: by the names of the splits.
        settings: of the data set: `tokens`, `vocabulary_size`, `context`.
        source: the origin of the text, for error lines.

    Raises:
        UserError: a part has no window, or there are too many characters.
    """
    context, by_characters = settings["context"], settings["tokens"] == "characters"
    by = _characters(texts["train"]) if by_characters else _words(texts["train"], settings["vocabulary_size"])
    size = by.get_vocab_size()
    if size > MOST:
        raise UserError(f"{source}: has {size:,} different characters, more than {MOST:,}; set its tokens: bpe")
    found = {name: encode(by, text) for name, text in texts.items()}
    for name, tokens in found.items():
        if len(tokens) <= context:
            raise UserError(
                f"{source}: the {PARTS[name]} part has {len(tokens)} tokens, and one window takes {context + 1} (the "
                "context and the next token); take a longer text, a smaller context, or other shares"
            )
    splits: dict[str, Arrays] = {name: {"tokens": tokens} for name, tokens in found.items()}
    digest = hashlib.sha256(by.to_str().encode()).digest()
    splits["train"]["tokenizer"] = np.frombuffer(digest, dtype=np.uint8)
    windows = {name: (len(tokens) - 1) // context for name, tokens in found.items()}
    targets = found["test"][1 : windows["test"] * context + 1]
    language = Language(_entropy(found["train"], targets, size), len(texts["test"]) / len(found["test"]))
    notes = [f"{size:,} different tokens; a window is {context} of them and the next", language.bar()]
    unknown = {PARTS[name]: int((tokens == 0).sum()) for name, tokens in found.items() if name != "train"}
    if by_characters and any(unknown.values()):
        counts = " and ".join(f"{count:,} of the {name} part" for name, count in unknown.items() if count)
        notes.append(f"characters that the training part lacks are one token: {counts}")
    return Corpus(by, splits, windows, language, notes)


def _characters(text: str) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models

    alphabet = [UNKNOWN, *sorted({*text} - {UNKNOWN})]
    vocabulary = {character: number for number, character in enumerate(alphabet)}
    found = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token=UNKNOWN, fuse_unk=False))
    found.decoder = decoders.Fuse()
    return found


def _words(text: str, vocabulary_size: int) -> "Tokenizer":
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    found = Tokenizer(models.BPE())
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    found.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary_size, initial_alphabet=alphabet, show_progress=False)
    found.train_from_iterator(_pieces(text), trainer)
    return found


def encode(by: "Tokenizer", text: str) -> NDArray[np.uint16]:
    """Return a text as numbers of tokens, (tokens,)."""
    parts = [np.asarray(by.encode(piece).ids, dtype=np.uint16) for piece in _pieces(text)]
    return np.concatenate([TARGETS, *parts])


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + PART] for start in range(0, len(text), PART))


def _entropy(train: NDArray[np.uint16], targets: NDArray[np.uint16], size: int) -> float:
    """Return the cross-entropy of targets, in nats a token, under the training part's frequencies plus one."""
    counts = np.bincount(train, minlength=size) + 1
    return float(-np.log(counts / counts.sum())[targets].mean())
