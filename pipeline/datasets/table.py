"""The data set `table`: one of the user's own tables."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, model_validator

from pipeline.datasets.base import Dataset, Fraction
from pipeline.datasets.columns import ColumnKind, Encoding, check, check_finite, kinds_of, numbers, words
from pipeline.datasets.raw import Encoded, RawData, RawSplit, labels
from pipeline.datasets.store import ENCODING, Target
from pipeline.datasets.table_file import columns
from pipeline.errors import UserError, plural
from pipeline.losses import CLASSIFICATION

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MOST_CLASSES = 20
"""Maximum number of different whole numbers that count as classes. If a target has more, the task is regression."""
SHOWN = 5
"""The number of names that a message lists before it says how many more there are."""
EXTENSIONS = (".csv", ".csv.gz", ".tsv", ".parquet")


def _is_table(path: str) -> str:
    if not path.lower().endswith(EXTENSIONS):
        raise ValueError(f"{path!r} is not the name of a table; allowed: names that end in {', '.join(EXTENSIONS)}")
    return path


TablePath = Annotated[str, AfterValidator(_is_table)]
Column = Annotated[str, Field(min_length=1)]


class Table(Dataset):
    """A table of your own: a CSV or Parquet file with a column to predict from the other columns.

    The values in the column to predict determine whether the task is classification or regression.
    """

    kind = "number"
    losses = (*CLASSIFICATION, "mean-squared-error")

    name: str = "table"
    path: TablePath
    """The path of the file with the table."""
    target: Column
    """The column to predict."""
    drop: list[Column] = []
    """The columns to leave out."""
    test_path: TablePath | None = None
    """The path of the file with the test split, or null to set aside `test_share` of the rows in `path` for testing."""
    val_share: Fraction = 0.1
    """Share of the training split to set aside for validation."""
    test_share: Fraction = 0.2
    """Share of all rows to set aside as the test split if there is no `test_path`."""

    @model_validator(mode="after")
    def _keeps_its_target(self) -> "Table":
        if self.target in self.drop:
            raise ValueError(f"drop leaves out the target, {self.target!r}")
        return self

    @property
    def files(self) -> list[str]:
        return [path for path in (self.path, self.test_path) if path is not None]

    def load(self, root: Path) -> RawData:
        import pandas as pd

        tables, notes = [], []
        for path, setting in zip(self.files, ("path", "test_path"), strict=False):
            table = columns(root / path, setting, self.target, self.drop)
            known = table[table[self.target].notna()]
            if lost := len(table) - len(known):
                notes.append(f"{path}: left out {plural(lost, 'row')} without a target ({self.target!r})")
            if known.empty:
                raise UserError(f"{root / path}: no row has a target ({self.target!r})")
            tables.append(known)
        kinds = kinds_of(tables, [root / path for path in self.files])
        rows, count = pd.concat([table[list(kinds)] for table in tables], ignore_index=True), len(tables[0])
        y, classes, what = _target(rows.pop(self.target), kinds.pop(self.target), count, root / self.path)
        notes.insert(0, f"target {self.target!r}: {what}")
        check(rows, kinds, root / self.path)
        missing = {name: int(rows[name].isna().sum()) for name in kinds}
        if any(missing.values()):
            counts = [f"{name!r} ({count})" for name, count in missing.items() if count]
            notes.append(f"columns with missing values: {_shortened(counts)}")
        return RawData(
            source=self.path,
            train=RawSplit(rows.iloc[:count], y[:count]),
            test=RawSplit(rows.iloc[count:], y[count:]) if len(tables) > 1 else None,
            val_size=self.val_share,
            test_size=self.test_share,
            classes=classes,
            columns=kinds,
            notes=notes,
        )

    def encode(self, raw: RawData, splits: Mapping[str, RawSplit], root: Path) -> Encoded:
        train, val, path = splits["train"], splits["val"].x, root / self.path
        if not raw.classes and (train.y.min() == train.y.max() or not train.y.std()):
            raise UserError(f"{path}: the target {self.target!r} is the same in all training rows, up to rounding")
        learnt = Encoding.learnt(train.x, raw.columns, self.target, raw.classes, train.y)
        whole = val.dropna() if not val.dropna().empty else val
        encoding = learnt.model_copy(update={"example": _plain(whole.iloc[:1], learnt)})
        notes = []
        if widths := encoding.widths():
            counts = (f"{name!r} ({count})" for name, count in widths.items())
            notes.append(f"one-hot columns: {_shortened(counts)}")
        if left_out := encoding.left_out():
            names = _shortened([repr(name) for name in left_out])
            notes.append(f"left out, because all training rows have the same value: {names}")
        arrays, target = {}, None
        for name, split in splits.items():
            y = split.y if raw.classes else ((split.y - encoding.mean) / encoding.deviation).astype(np.float32)
            arrays[name] = {"x": encoding.encoded(split.x), "y": y}
        width = arrays["train"]["x"].shape[1]
        if not width:
            raise UserError(f"{path}: in the training rows, no column but the target {self.target!r} varies")
        if not raw.classes:
            target = Target(self.target, encoding.deviation, float(splits["test"].y.var()))
        text = encoding.model_dump_json(indent=2)
        arrays["train"]["encoding"] = np.frombuffer(hashlib.sha256(text.encode()).digest(), dtype=np.uint8)
        return Encoded(
            arrays,
            input_shape=[width],
            files={ENCODING: text},
            target=target,
            notes=notes,
        )


def _plain(row: "DataFrame", encoding: Encoding) -> dict[str, Any]:
    """Return the values of a single-row table, keyed by column, as types that JSON can represent."""
    values: dict[str, Any] = {}
    for column in encoding.columns:
        if column.kind == "number":
            (number,) = numbers(row[column.name])
            values[column.name] = None if np.isnan(number) else float(number)
        else:
            (word,) = words(row[column.name])
            values[column.name] = word == "True" if column.kind == "boolean" and word is not None else word
    return values


def _target(column: "Series", kind: ColumnKind, train: int, path: Path) -> tuple[NDArray[Any], list[str], str]:
    """Return the targets, the names of the classes (none for regression), and a line that describes the target.

    Args:
        column: the target column, with the rows of all files and without missing values.
        kind: the kind of the target column.
        train: the number of rows that come from the file ``path`` rather than from a test file.
        path: the path of the table's file, for error messages.
    """
    if kind == "number":
        values = numbers(column)
        check_finite(values, column.name, path)
        different = np.unique(values)
        whole = bool((different == np.floor(different)).all())
        if not whole or len(different) > MOST_CLASSES:
            sort = "whole numbers" if whole else "numbers"
            return values, [], f"{sort} with {len(different):,} different values, so this is a regression"
        classes, y = [str(int(value)) for value in different], np.searchsorted(different, values)
        sort = "whole numbers"
    else:
        texts = words(column)
        classes = sorted({text for text in texts if text is not None})
        place = {name: number for number, name in enumerate(classes)}
        y, sort = np.array([place[text] for text in texts if text is not None]), f"{kind}s"
    what = f"{sort} with {plural(len(classes), 'different value')}"
    if len(classes) < 2:
        raise UserError(f"{path}: the target {column.name!r} is {classes[0]!r} in all rows; two classes are needed")
    counts, least = np.bincount(y[:train], minlength=len(classes)), 3 if train == len(y) else 2
    if few := [f"{name!r} ({count})" for name, count in zip(classes, counts, strict=True) if count < least]:
        raise UserError(
            f"{path}: the target {column.name!r} is {what}, and {plural(len(few), 'class', 'es')} of them "
            f"{'has' if len(few) == 1 else 'have'} fewer than {least} rows: {_shortened(few)}"
        )
    return labels(y.tolist(), len(classes)), classes, f"{what}, so these are classes: {_shortened(classes)}"


def _shortened(parts: Iterable[str]) -> str:
    listed = list(parts)
    more = [f"and {len(listed) - SHOWN:,} more"] if len(listed) > SHOWN else []
    return ", ".join([*listed[:SHOWN], *more])
