"""The encoding of a table's columns as numbers, learnt from the training split and stored as JSON.

Numbers are standardised. Booleans and texts are one-hot encoded: each value that occurs in the training split gets a
column of zeros and ones, and all other values are encoded as zeros. If a column has missing values in the training
split, an extra column marks the rows with missing values. A missing number is replaced by the mean of its column. A
column with the same value in all training rows is left out.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.errors import UserError, plural
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame, Series

ColumnKind = Literal["number", "boolean", "text"]
MOST_VALUES = 100
"""Maximum number of different values in a text column. Each value becomes a column of zeros and ones."""
LARGEST = 1e30
"""Maximum absolute value of a number in a table; a larger number is treated as a mistake in the table."""


class Number(Settings):
    """The encoding of a column of numbers: they are standardised with the mean and deviation of the training rows."""

    kind: Literal["number"] = "number"
    name: str
    mean: float
    deviation: float
    """The standard deviation in the training split, or 0 if all training rows have the same number."""
    has_missing: bool

    @classmethod
    def learnt(cls, name: str, column: "Series") -> "Number":
        """Return the encoding of a column of numbers, learnt from its training rows."""
        values = numbers(column)
        known = values[~np.isnan(values)]
        varies = len(known) > 0 and known.min() < known.max()
        mean = float(known.mean()) if len(known) else 0.0
        deviation = float(known.std()) if varies else 0.0
        return cls(name=name, mean=mean, deviation=deviation, has_missing=0 < len(known) < len(values))

    @property
    def width(self) -> int:
        """The number of columns into which this column is encoded."""
        return (self.deviation > 0) + self.has_missing

    def encoded(self, column: "Series") -> list[NDArray[np.float64]]:
        """Encode a column, and return the resulting columns, each of shape (rows,)."""
        values = numbers(column)
        missing = np.isnan(values)
        encoded = [np.where(missing, 0.0, (values - self.mean) / self.deviation)] if self.deviation else []
        return [*encoded, missing.astype(np.float64)] if self.has_missing else encoded


class Category(Settings):
    """The one-hot encoding of a column of booleans or texts."""

    kind: Literal["boolean", "text"]
    name: str
    values: list[str]
    """The different values that occur in the training split, in sorted order."""
    has_missing: bool

    @classmethod
    def learnt(cls, name: str, kind: Literal["boolean", "text"], column: "Series") -> "Category":
        """Return the encoding of a column of booleans or texts, learnt from its training rows."""
        values = words(column)
        known = sorted({word for word in values if word is not None})
        return cls(name=name, kind=kind, values=known, has_missing=None in values)

    @property
    def width(self) -> int:
        """The number of columns into which this column is encoded, or 0 if all its training values are equal."""
        count = len(self.values) + self.has_missing
        return count if count > 1 else 0

    def encoded(self, column: "Series") -> list[NDArray[np.float64]]:
        """Encode a column, and return the resulting columns of zeros and ones, each of shape (rows,)."""
        values: list[str | None] = [*self.values, *([None] if self.has_missing else [])]
        place = {value: number for number, value in enumerate(values)}
        numbers = np.array([place.get(word, -1) for word in words(column)])
        return [(numbers == number).astype(np.float64) for number in range(self.width)]


class Encoding(Settings):
    """The encoding of a table: it turns rows into numbers, and converts a network's outputs to the target's units."""

    columns: list[Annotated[Number | Category, Field(discriminator="kind")]]
    """The encodings of the columns, in the same order as in the table."""
    target: str
    classes: list[str]
    """The names of the classes, or an empty list for regression."""
    mean: float = 0.0
    """For regression, the mean of the target in the training split."""
    deviation: float = 1.0
    """For regression, the standard deviation of the target in the training split."""
    example: dict[str, Any]
    """An example input: an unencoded row of the validation split."""

    @classmethod
    def learnt(
        cls, rows: "DataFrame", kinds: Mapping[str, ColumnKind], target: str, classes: Sequence[str], y: NDArray[Any]
    ) -> "Encoding":
        """Return the encoding of a table, learnt from the training split. The caller must still set ``example``.

        Args:
            rows: the training rows, without the target.
            kinds: the kind of each column to encode.
            target: the name of the target.
            classes: the names of the classes, or an empty list for regression.
            y: the targets of the rows: class numbers or, for regression, numbers that are not all the same.
        """
        columns = [
            Number.learnt(name, rows[name]) if kind == "number" else Category.learnt(name, kind, rows[name])
            for name, kind in kinds.items()
        ]
        units = {} if classes else {"mean": float(y.mean()), "deviation": float(y.std())}
        return cls(columns=columns, target=target, classes=list(classes), example={}, **units)

    def encoded(self, rows: "DataFrame") -> NDArray[np.float32]:
        """Encode the rows of a table, and return them as an array of shape (rows, features).

        Raises:
            ValueError: a value in a column of numbers is not a number.
        """
        encoded = [part for column in self.columns for part in column.encoded(rows[column.name])]
        return np.column_stack(encoded).astype(np.float32) if encoded else np.empty((len(rows), 0), np.float32)

    def widths(self) -> dict[str, int]:
        """Return the number of one-hot columns for each boolean or text column that is encoded, keyed by its name."""
        return {column.name: column.width for column in self.columns if isinstance(column, Category) and column.width}

    def left_out(self) -> list[str]:
        """Return the names of the columns that are left out because their value is the same in all training rows."""
        return [column.name for column in self.columns if not column.width]

    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """For regression, return the outputs in the target's units; for classification, return the logits unchanged."""
        return outputs if self.classes else (outputs * self.deviation + self.mean).astype(np.float32)

    def table(self) -> "DataFrame":
        """Return the example as a single-row table."""
        import pandas as pd

        return pd.DataFrame([self.example], columns=[column.name for column in self.columns])


def numbers(column: "Series") -> NDArray[np.float64]:
    """Return the numbers in a column as an array of shape (rows,), with NaN for missing values.

    Raises:
        ValueError: a value is not a number.
    """
    try:
        values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {column.name!r} must hold numbers ({error})") from None
    return values


def words(column: "Series") -> list[str | None]:
    """Return the values of a column as texts, with None for missing values."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [str(name) for name in column.cat.categories]
        return [names[code] if code >= 0 else None for code in column.cat.codes]
    missing = column.isna()
    return [None if gone else str(value) for value, gone in zip(column.astype(object), missing, strict=True)]


def kinds_of(tables: Sequence["DataFrame"], paths: Sequence[Path]) -> dict[str, ColumnKind]:
    """Return the kind of each column, including the target, keyed by the column's name.

    Args:
        tables: the tables to check. Every table must have all columns of the first table.
        paths: the path of each table's file, for error messages.

    Raises:
        UserError: a file lacks a column, or a column holds values of different kinds or values other than numbers,
            booleans and texts.
    """
    kinds_by_name: dict[str, ColumnKind] = {}
    for name in tables[0].columns:
        kinds: dict[ColumnKind, Path] = {}
        for table, path in zip(tables, paths, strict=True):
            if name not in table.columns:
                raise UserError(f"{path}: has no column {name!r}, which {paths[0]} has")
            if kind := _kind(table[name], path):
                kinds.setdefault(kind, path)
        if len(kinds) > 1:
            different = ", but ".join(f"{kind}s in {path}" for kind, path in kinds.items())
            raise UserError(f"column {name!r} holds {different}")
        kinds_by_name[name] = next(iter(kinds), "number")
    return kinds_by_name


def _kind(column: "Series", path: Path) -> ColumnKind | None:
    """Return the kind of a column, or None if all its values are missing.

    Raises:
        UserError: the column holds values other than numbers, booleans and texts.
    """
    import pandas as pd
    from pandas.api import types

    if column.isna().all():
        return None
    if isinstance(column.dtype, pd.CategoricalDtype):
        return "text"
    if types.is_bool_dtype(column.dtype):
        return "boolean"
    if types.is_numeric_dtype(column.dtype):
        return "number"
    match types.infer_dtype(column, skipna=True):
        case "string":
            return "text"
        case "boolean":
            return "boolean"
        case "integer" | "floating" | "mixed-integer-float" | "decimal":
            return "number"
        case "datetime64" | "datetime" | "date" | "timedelta64" | "timedelta" | "time" | "period":
            what = "dates or times"
        case other:
            what = f"values of type {other}"
    raise UserError(
        f"{path}: column {column.name!r} holds {what}; write it as numbers or texts, or leave it out: "
        f"drop: [{column.name}]"
    )


def check(rows: "DataFrame", kinds: Mapping[str, ColumnKind], path: Path) -> None:
    """Check that the values of all columns can be encoded.

    Raises:
        UserError: a column has too many different texts, or numbers that are infinite or too large.
    """
    for name, kind in kinds.items():
        if kind == "number":
            check_finite(numbers(rows[name]), name, path)
        elif (count := rows[name].nunique()) > MOST_VALUES:
            raise UserError(
                f"{path}: column {name!r} has {count:,} different texts, but at most {MOST_VALUES} are allowed; "
                f"leave it out: drop: [{name}]"
            )


def check_finite(values: NDArray[np.float64], name: object, path: Path) -> None:
    """Raise a UserError if any number in a column is infinite or too large."""
    if wrong := int((np.abs(values) > LARGEST).sum()):
        raise UserError(f"{path}: column {name!r} is infinite or beyond {LARGEST:g} in {plural(wrong, 'row')}")
