"""Columns of a table as numbers: learnt from the training split, stored as JSON, applied to all other rows.

Numbers are standardised. Booleans and texts are one-hot: a column of 0 and 1 for each value of the training split; any
other value has 0 in all of them. A column with missing values in the training split gets one more, which marks them; a
missing number becomes the mean. Columns that are the same in all training rows are left out.
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
"""Most different values of a column of texts; each would become a column of numbers."""
LARGEST = 1e30
"""Larger numbers are taken for mistakes."""


class Number(Settings):
    """A column of numbers, standardised by the training split."""

    kind: Literal["number"] = "number"
    name: str
    mean: float
    deviation: float
    """Standard deviation; 0: the column is the same in all training rows, and is left out."""
    has_missing: bool

    @classmethod
    def learnt(cls, name: str, column: "Series") -> "Number":
        """Return the column as the training split defines it."""
        values = numbers(column)
        known = values[~np.isnan(values)]
        varies = len(known) > 0 and known.min() < known.max()
        mean = float(known.mean()) if len(known) else 0.0
        deviation = float(known.std()) if varies else 0.0
        return cls(name=name, mean=mean, deviation=deviation, has_missing=0 < len(known) < len(values))

    def encoded(self, column: "Series") -> list[NDArray[np.float64]]:
        """Return the columns of numbers that stand for it, each (rows,)."""
        values = numbers(column)
        missing = np.isnan(values)
        encoded = [np.where(missing, 0.0, (values - self.mean) / self.deviation)] if self.deviation else []
        return [*encoded, missing.astype(np.float64)] if self.has_missing else encoded


class Category(Settings):
    """A column of booleans or texts, with the values of the training split."""

    kind: Literal["boolean", "text"]
    name: str
    values: list[str]
    """The values of the training split, sorted."""
    has_missing: bool

    @classmethod
    def learnt(cls, name: str, kind: Literal["boolean", "text"], column: "Series") -> "Category":
        """Return the column as the training split defines it."""
        values = words(column)
        known = sorted({word for word in values if word is not None})
        return cls(name=name, kind=kind, values=known, has_missing=None in values)

    def encoded(self, column: "Series") -> list[NDArray[np.float64]]:
        """Return the columns of 0 and 1 that stand for it, each (rows,)."""
        values: list[str | None] = [*self.values, *([None] if self.has_missing else [])]
        if len(values) < 2:
            return []
        place = {value: number for number, value in enumerate(values)}
        numbers = np.array([place.get(word, -1) for word in words(column)])
        return [(numbers == number).astype(np.float64) for number in range(len(values))]


class Encoding(Settings):
    """The encoding of a table: rows to numbers, and a network's outputs to answers."""

    columns: list[Annotated[Number | Category, Field(discriminator="kind")]]
    """In the order of the table."""
    target: str
    classes: list[str]
    """Empty for a regression."""
    mean: float = 0.0
    """The mean of a regression's target in the training split."""
    deviation: float = 1.0
    """The standard deviation of a regression's target in the training split."""
    example: dict[str, Any]
    """A row of the validation split, as the table has it."""

    @classmethod
    def learnt(
        cls, rows: "DataFrame", kinds: Mapping[str, ColumnKind], target: str, classes: Sequence[str], y: NDArray[Any]
    ) -> "Encoding":
        """Return the encoding that the training split defines; the caller fills in ``example``.

        Args:
            rows: the training rows.
            kinds: the kind of each column to encode.
            target: the name of the target.
            classes: names of the classes; none for a regression.
            y: the targets of the rows: class numbers, or numbers, which must not all be the same.
        """
        columns = [
            Number.learnt(name, rows[name]) if kind == "number" else Category.learnt(name, kind, rows[name])
            for name, kind in kinds.items()
        ]
        units = {} if classes else {"mean": float(y.mean()), "deviation": float(y.std())}
        return cls(columns=columns, target=target, classes=list(classes), example={}, **units)

    def encoded(self, rows: "DataFrame") -> NDArray[np.float32]:
        """Return rows of a table as numbers, (rows, features).

        Raises:
            ValueError: a column of numbers holds something else.
        """
        encoded = [part for column in self.columns for part in column.encoded(rows[column.name])]
        return np.column_stack(encoded).astype(np.float32) if encoded else np.empty((len(rows), 0), np.float32)

    def widths(self) -> dict[str, int]:
        """Return the number of columns of 0 and 1 for each column of texts or booleans."""
        categories = [column for column in self.columns if isinstance(column, Category)]
        counts = {column.name: len(column.values) + column.has_missing for column in categories}
        return {name: count for name, count in counts.items() if count > 1}

    def left_out(self) -> list[str]:
        """Return the names of columns that are the same in all training rows."""
        return [
            column.name
            for column in self.columns
            if not column.has_missing
            and (column.deviation == 0 if isinstance(column, Number) else len(column.values) < 2)
        ]

    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return logits unchanged, and the numbers of a regression in the target's own units."""
        return outputs if self.classes else (outputs * self.deviation + self.mean).astype(np.float32)

    def table(self) -> "DataFrame":
        """Return the example as a table of one row."""
        import pandas as pd

        return pd.DataFrame([self.example], columns=[column.name for column in self.columns])


def numbers(column: "Series") -> NDArray[np.float64]:
    """Return a column as numbers, (rows,); a missing one is NaN.

    Raises:
        ValueError: it holds something else.
    """
    try:
        values: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {column.name!r} must hold numbers ({error})") from None
    return values


def words(column: "Series") -> list[str | None]:
    """Return a column as texts; a missing one is None."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [str(name) for name in column.cat.categories]
        return [names[code] if code >= 0 else None for code in column.cat.codes]
    missing = column.isna()
    return [None if gone else str(value) for value, gone in zip(column.astype(object), missing, strict=True)]


def kinds_of(tables: Sequence["DataFrame"], paths: Sequence[Path]) -> dict[str, ColumnKind]:
    """Return the kind of each column, the target among them.

    Args:
        tables: all files, with the same columns.
        paths: of the files, for errors.

    Raises:
        UserError: a file lacks a column, or a column has two kinds, or one that is not allowed.
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
    """Return the kind of a column; None if all of it is missing.

    Raises:
        UserError: it holds neither numbers nor booleans nor texts.
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
    """Check the columns of all rows.

    Raises:
        UserError: a column has too many different texts, or numbers that are not finite.
    """
    for name, kind in kinds.items():
        if kind == "number":
            check_finite(numbers(rows[name]), name, path)
        elif (count := rows[name].nunique()) > MOST_VALUES:
            raise UserError(
                f"{path}: column {name!r} has {count:,} different texts, and at most {MOST_VALUES} are allowed; "
                f"leave it out: drop: [{name}]"
            )


def check_finite(values: NDArray[np.float64], name: object, path: Path) -> None:
    """Raise UserError if a column's numbers are infinite or too large."""
    if wrong := int((np.abs(values) > LARGEST).sum()):
        raise UserError(f"{path}: column {name!r} is infinite or beyond {LARGEST:g} in {plural(wrong, 'row')}")
