"""A function that loads a data set, sets aside examples for any missing split, and stores all splits."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.base import Dataset
from pipeline.datasets.raw import RawData, RawSplit
from pipeline.datasets.store import Summary, arrays_digest
from pipeline.errors import UserError
from pipeline.files import replacing

SPLIT_SEED = 0
STRATA = 10
"""Maximum number of quantiles into which a numeric target is divided for stratification."""
SHOWN = 10
"""Maximum number of classes that an error message lists."""


def prepare(dataset: Dataset, folder: Path, root: Path, tell: Callable[[str], None] = lambda line: None) -> Summary:
    """Store the three splits of a data set in ``folder``, and return their summary.

    If the data set lacks a validation or test split, examples of its training split are set aside for the missing
    split. These examples are drawn at random, stratified by class or by the quantiles of a numeric target. The random
    seed is fixed, so all runs train and validate on the same examples. The encoding depends only on the training split.

    Args:
        dataset: the settings of the data set.
        folder: the folder to store the splits in.
        root: the project's folder. Relative paths are resolved against it, and downloads are stored in it.
        tell: a function that shows a line to the user.

    Raises:
        UserError: the data cannot be fetched or read, or have unexpected content.
    """
    from safetensors.numpy import save

    raw = dataset.load(root)
    for line in raw.notes:
        tell(line)
    splits = _splits(raw)
    encoded = dataset.encode(raw, splits, root)
    for line in encoded.notes:
        tell(line)
    digests = {name: arrays_digest(arrays) for name, arrays in encoded.splits.items()}
    prepared = Summary(
        dataset=dataset.name,
        settings=dataset.resolve(),
        kind=dataset.kind,
        source=raw.source,
        digest=hashlib.sha256("".join(digests.values()).encode()).hexdigest(),
        classes=list(raw.classes),
        white=raw.white,
        input_shape=encoded.input_shape,
        vocabulary_size=encoded.vocabulary_size,
        examples=encoded.examples or {name: len(split) for name, split in splits.items()},
        digests=digests,
        target=encoded.target,
        language=encoded.language,
    )
    with replacing(folder) as draft:
        draft.mkdir()
        for name, arrays in encoded.splits.items():
            content = save({key: np.ascontiguousarray(array) for key, array in arrays.items()})
            (draft / f"{name}.safetensors").write_bytes(content)
        for name, text in [*encoded.files.items(), ("summary.json", prepared.text())]:
            (draft / name).write_text(text, encoding="utf-8")
    return prepared


def _splits(raw: RawData) -> dict[str, RawSplit]:
    train, val, test = raw.train, raw.val, raw.test
    if test is None:
        train, test = _set_aside(raw, train, raw.test_size, "testing")
    if val is None:
        train, val = _set_aside(raw, train, raw.val_size, "validation")
    elif raw.classes and train is raw.train:  # shuffle, because the first examples may all have the same class
        train = train.take(np.random.default_rng(SPLIT_SEED).permutation(len(train)))
    return {"train": train, "val": val, "test": test}


def _set_aside(raw: RawData, split: RawSplit, size: float, purpose: str) -> tuple[RawSplit, RawSplit]:
    """Set examples aside, stratified by class or quantile, and return the remaining examples and the new split."""
    from sklearn.model_selection import train_test_split

    strata = split.y if raw.classes else _strata(split.y, size)
    try:
        rest, aside = train_test_split(np.arange(len(split)), test_size=size, random_state=SPLIT_SEED, stratify=strata)
    except ValueError:
        few, least = str(len(split)), ""
        if raw.classes:
            counts = [*zip(raw.classes, np.bincount(split.y, minlength=len(raw.classes)), strict=True)]
            few = ", ".join(f"{count} of {name!r}" for name, count in counts[:SHOWN])
            few += f" and {len(counts) - SHOWN} more classes" if len(counts) > SHOWN else ""
            least = "; at least one of each class"
        raise UserError(f"{raw.source}: too few examples ({few}) to set {size} aside for {purpose}{least}") from None
    return split.take(rest), split.take(aside)


def _strata(numbers: NDArray[Any], size: float) -> NDArray[np.int64]:
    """Return the index of each number's quantile. There are at most as many quantiles as examples to set aside."""
    aside = size if size >= 1 else size * len(numbers)
    strata = max(1, min(STRATA, int(aside), len(numbers) // 2))
    rank = np.empty(len(numbers), dtype=np.int64)
    rank[np.argsort(numbers, kind="stable")] = np.arange(len(numbers))
    return rank * strata // max(len(numbers), 1)
