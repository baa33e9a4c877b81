"""A text as windows of tokens: inputs and targets, the borders between splits, and one-line errors."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from pipeline import datasets
from pipeline.datasets import imdb, tokens
from pipeline.datasets.imdb_text import IMDbText
from pipeline.datasets.text_file import TextFile
from pipeline.errors import UserError
from tests.datasets.reviews import REVIEWS, Mirror
from tests.helpers.data import TEXT, TEXT_FILE


def prepare(folder: Path, text: str | bytes = TEXT, **changes: Any) -> datasets.Summary:
    (folder / "t.txt").write_bytes(text.encode() if isinstance(text, str) else text)
    return datasets.prepare(TextFile(**TEXT_FILE | changes), folder / "data", folder)


def decoded(folder: Path, of: Any) -> str:
    text: str = Tokenizer.from_file(str(folder / "data" / "tokenizer.json")).decode(of.flatten().tolist())
    return text


def test_windows_follow_each_other_and_none_crosses_splits(tmp_path: Path) -> None:
    summary = prepare(tmp_path)
    ends = [round(0.72 * len(TEXT)), round(0.8 * len(TEXT)), len(TEXT)]
    assert (summary.kind, summary.input_shape, summary.classes) == ("tokens", [16], [])
    for name, start, end in zip(summary.digests, [0, *ends], ends, strict=False):
        split = datasets.read(tmp_path / "data", name)  # type: ignore[arg-type]
        part = TEXT[start:end]
        assert len(split) == summary.examples[name] == (len(part) - 1) // 16
        assert split.x.shape == split.y.shape == (len(split), 16)
        assert decoded(tmp_path, split.x) == part[: 16 * len(split)]
        assert decoded(tmp_path, split.y) == part[1 : 16 * len(split) + 1]


def test_a_subset_is_the_beginning(tmp_path: Path) -> None:
    prepare(tmp_path)
    few = datasets.read(tmp_path / "data", "train", subset=3)
    assert (len(few), decoded(tmp_path, few.x)) == (3, TEXT[:48])
    assert datasets.example(tmp_path / "data") == TEXT[round(0.72 * len(TEXT)) :][:16]


def test_a_token_takes_two_bytes(tmp_path: Path) -> None:
    prepare(tmp_path)
    assert (tmp_path / "data" / "train.safetensors").stat().st_size < 2 * round(0.72 * len(TEXT)) + 300
    split = datasets.read(tmp_path / "data", "train")
    assert split.x.untyped_storage().data_ptr() == split.y.untyped_storage().data_ptr()


def test_other_splits_do_not_change_the_training_split(tmp_path: Path) -> None:
    """Characters that occur only in other splits all become the same unknown token."""
    first = prepare(tmp_path)
    tokenizer = (tmp_path / "data" / "tokenizer.json").read_bytes()
    changed = prepare(tmp_path, TEXT[:-20] + "Ünïcödé" * 2 + "\N{SNOWMAN}" * 6)
    assert (tmp_path / "data" / "tokenizer.json").read_bytes() == tokenizer
    assert {name for name in first.digests if changed.digests[name] != first.digests[name]} == {"test"}
    last = datasets.read(tmp_path / "data", "test").y[-1]
    assert tokens.UNKNOWN in decoded(tmp_path, last)


def test_the_digest_covers_the_alphabet(tmp_path: Path) -> None:
    """Another text with another tokenizer can become the same numbers, but its training split has another digest."""
    first, other = prepare(tmp_path), prepare(tmp_path, TEXT.replace("w", "x"))
    assert first.digests["test"] == other.digests["test"]
    assert first.digests["train"] != other.digests["train"]


def test_the_entropy_is_by_token_frequencies_of_the_training_split(tmp_path: Path) -> None:
    summary = prepare(tmp_path)
    train, test = TEXT[: round(0.72 * len(TEXT))], TEXT[round(0.8 * len(TEXT)) :]
    counts, size = Counter(train), len({*train}) + 1  # one more for the unknown token
    targets = test[1 : 16 * summary.examples["test"] + 1]
    expected = -sum(math.log((counts[each] + 1) / (len(train) + size)) for each in targets) / len(targets)
    assert summary.vocabulary_size == size
    assert summary.language is not None
    assert summary.language.unigram_entropy == pytest.approx(expected)
    assert datasets.Summary.of(summary.text()) == summary


def test_perplexity_and_bits_follow_from_the_loss() -> None:
    figures = datasets.Language(3.0, characters_per_token=2.0).figures([math.log(4), math.log(8)])
    assert figures == pytest.approx({"perplexity": 6, "bits_per_character": (2 + 3) / 2 / 2})
    assert datasets.Language(3.0, 1.0).figures([1000.0])["perplexity"] == math.inf
    assert math.isnan(datasets.Language(3.0, 1.0).figures([math.nan])["perplexity"])


def test_bpe_tokens_can_encode_every_text(tmp_path: Path) -> None:
    summary = prepare(tmp_path, tokens="bpe", vocabulary_size=300)
    assert summary.vocabulary_size == 300
    assert summary.language is not None
    assert summary.language.characters_per_token > 3
    digests, encoder = summary.digests, Tokenizer.from_file(str(tmp_path / "data" / "tokenizer.json"))
    odd = "Ünïcödé\n\n \N{SNOWMAN}\t100 green"
    assert encoder.decode(tokens.tokenize(encoder, odd).tolist()) == odd
    assert prepare(tmp_path, tokens="bpe", vocabulary_size=300).digests == digests


def test_the_size_of_pieces_to_encode_does_not_matter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    digests = prepare(tmp_path).digests
    monkeypatch.setattr(tokens, "PIECE", 7)
    assert prepare(tmp_path).digests == digests


def test_files_of_a_folder_follow_each_other(tmp_path: Path) -> None:
    for name, text in {"b.md": "second " * 30, "a/z.txt": "first " * 30, ".git/c": "no", "a/.d": "no"}.items():
        (tmp_path / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mine" / name).write_text(text)
    datasets.prepare(TextFile(**TEXT_FILE | {"path": "mine"}), tmp_path / "data", tmp_path)
    whole = "first " * 30 + "\n" + "second " * 30
    train = datasets.read(tmp_path / "data", "train")
    assert decoded(tmp_path, train.x) == whole[: 16 * len(train)]


@pytest.mark.parametrize(
    ("text", "changes", "says"),
    [
        ("", {}, r"t\.txt: contains no text"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}", {}, r"t\.txt: contains no text"),
        (b"caf\xe9 au lait", {}, r"t\.txt: a text that is not UTF-8 \(at byte 3\)"),
        ("short", {}, r"t\.txt: the training part has 4 tokens, but a window takes 17"),
        (TEXT[:300], {"context": 32}, r"the validation part has 24 tokens, but a window takes 33"),
        (TEXT[:300], {"test_share": 0.03}, r"the test part has 9 tokens, but a window takes 17"),
        (TEXT, {"path": "nowhere"}, r"nowhere: no such file or folder; set the dataset's path"),
    ],
)
def test_a_bad_text_is_one_line(tmp_path: Path, text: str | bytes, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        prepare(tmp_path, text, **changes)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "data").exists()


def test_reviews_as_one_text(mirror: Mirror, tmp_path: Path) -> None:
    """The test split comes from the published test reviews. The order of reviews is random but always the same."""
    mirror(REVIEWS)
    dataset = IMDbText(context=16, test_share=0.2, reviews=20)
    summary = datasets.prepare(dataset, tmp_path / "data", tmp_path)
    assert summary.source == imdb.URL
    train, test = (datasets.read(tmp_path / "data", name) for name in ("train", "test"))
    text = decoded(tmp_path, train.x)
    reviews = text.split("\n\n")
    assert "\nIt's trained!\n\n" in text
    assert len({review.partition(".")[0] for review in reviews[:-1]}) == len(reviews) - 1
    assert {"neg", "pos"} <= {review.partition("\n")[0][-4:-1] for review in reviews}
    assert "It's tested!" in decoded(tmp_path, test.x)
    assert "tested" not in text
    assert datasets.prepare(dataset, tmp_path / "again", tmp_path) == summary
    assert np.all(datasets.read(tmp_path / "data", "val").x.numpy() > 0)
