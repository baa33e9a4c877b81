"""Get a data set, set aside what is not split off yet, and store all three splits: see `pipeline.datasets.store`."""

import hashlib
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets import text, tokens
from pipeline.datasets.published import Examples, Published
from pipeline.datasets.store import ENCODING, TOKENIZER, Arrays, Summary, arrays_digest
from pipeline.errors import UserError
from pipeline.files import replacing

SPLIT_SEED = 0
STRATA = 10
"""Numbers to predict are set aside from each tenth of them alike."""
SHOWN = 10
"""Most classes that an error counts."""


def prepare(
    settings: Mapping[str, Any], folder: Path, root: Path, tell: Callable[[str], None] = lambda line: None
) -> Summary:
    """Get a data set, set a validation split aside where it has none, and store all three splits in ``folder``.

    Setting aside is stratified by class, or by the size of a number, and has a seed of its own: every run, whatever its
    seed, trains and validates on the same examples. The vocabulary of texts is that of the training split, and so are
    the tokens of a language model, and what rows of a table are encoded by.

    Args:
        settings: of the data set; `name` is the module of `pipeline.datasets` that is its source.
        folder: to store them in.
        root: the project's folder: relative paths begin there, and downloads are kept there.
        tell: called with each line that the user should read.

    Raises:
        UserError: the data cannot be fetched, or are not what they should be.
    """
    from safetensors.numpy import save

    source = import_module(f"pipeline.datasets.{settings['name'].replace('-', '_')}")
    published: Published = source.load(settings, root)
    for line in published.notes:
        tell(line)
    examples = _splits(published)
    tokenizer, encoded, corpus = None, None, None
    if published.encode is not None:
        encoded = published.encode(examples)
        examples = encoded.splits
        for line in encoded.notes:
            tell(line)
    splits: dict[str, Arrays]
    if published.kind == "text":
        tokenizer = text.tokenizer(examples["train"].x, settings["vocabulary_size"])
        splits = {name: text.encode(tokenizer, split.x) | {"y": split.y} for name, split in examples.items()}
        if settings["vectors"] is not None:
            splits["train"]["vectors"] = text.vectors(root / settings["vectors"], tokenizer)
    elif published.kind == "tokens":
        texts = {name: split.x for name, split in examples.items()}
        corpus = tokens.corpus(texts, settings, published.source)
        tokenizer, splits = corpus.tokenizer, corpus.splits
        for line in corpus.notes:
            tell(line)
    else:
        splits = {name: {"x": np.asarray(split.x), "y": split.y} for name, split in examples.items()}
    if encoded:
        digest = hashlib.sha256(encoded.encoding.encode()).digest()
        splits["train"]["encoding"] = np.frombuffer(digest, dtype=np.uint8)
    shape = [] if tokenizer else list(splits["train"]["x"].shape[1:])
    digests = {name: arrays_digest(arrays) for name, arrays in splits.items()}
    prepared = Summary(
        dataset=settings["name"],
        settings=dict(settings),
        kind=published.kind,
        source=published.source,
        digest=hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        classes=list(published.classes),
        white=published.white,
        input_shape=[settings["context"]] if corpus else shape,
        vocabulary_size=tokenizer.get_vocab_size() if tokenizer else 0,
        examples=corpus.examples if corpus else {name: len(split) for name, split in examples.items()},
        digests=digests,
        target=encoded.target if encoded else None,
        language=corpus.language if corpus else None,
    )
    with replacing(folder) as draft:
        draft.mkdir()
        for name, arrays in splits.items():
            content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
            (draft / f"{name}.safetensors").write_bytes(content)
        if tokenizer:
            (draft / TOKENIZER).write_text(tokenizer.to_str(), encoding="utf-8")
        if encoded:
            (draft / ENCODING).write_text(encoded.encoding, encoding="utf-8")
        (draft / "summary.json").write_text(prepared.text(), encoding="utf-8")
    return prepared


def _splits(published: Published) -> dict[str, Examples]:
    train, val, test = published.train, published.val, published.test
    if test is None:
        train, test = _set_aside(published, train, published.test_size, "testing")
    if val is None:
        train, val = _set_aside(published, train, published.val_size, "validation")
    elif published.classes and train is published.train:  # in the order of its classes: a subset would be one class
        train = _taken(published, train, np.random.default_rng(SPLIT_SEED).permutation(len(train)))
    return {"train": train, "val": val, "test": test}


def _set_aside(of: Published, examples: Examples, size: float, purpose: str) -> tuple[Examples, Examples]:
    """Return the rest, and ``size`` examples that are stratified by class, or by the size of a number."""
    from sklearn.model_selection import train_test_split

    strata = examples.y if of.classes else _strata(examples.y, size)
    try:
        indices = train_test_split(np.arange(len(examples)), test_size=size, random_state=SPLIT_SEED, stratify=strata)
    except ValueError:
        few, least = str(len(examples)), ""
        if of.classes:
            counts = [*zip(of.classes, np.bincount(examples.y, minlength=len(of.classes)), strict=True)]
            few = ", ".join(f"{count} of {name!r}" for name, count in counts[:SHOWN])
            few += f" and {len(counts) - SHOWN} more classes" if len(counts) > SHOWN else ""
            least = "; at least one of each class"
        raise UserError(f"{of.source}: too few examples ({few}) to set {size} aside for {purpose}{least}") from None
    rest, aside = (_taken(of, examples, split) for split in indices)
    return rest, aside


def _strata(numbers: NDArray[Any], size: float) -> NDArray[np.int64]:
    """Number the quantiles that each number is in; there are so few that each gives an example to what is set aside."""
    aside = size if size >= 1 else size * len(numbers)
    strata = max(1, min(STRATA, int(aside), len(numbers) // 2))
    rank = np.empty(len(numbers), dtype=np.int64)
    rank[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    return rank * strata // max(len(numbers), 1)


def _taken(of: Published, examples: Examples, indices: NDArray[np.int64]) -> Examples:
    """Return the examples at ``indices``, in that order."""
    x: Any = [examples.x[index] for index in indices] if of.kind == "text" else np.asarray(examples.x)[indices]
    return Examples(x, examples.y[indices])
