"""Columns of a table as numbers: learnt from the training split, kept as JSON, applied to all other rows alike.

Numbers are standardised. Booleans and texts are one-hot: a column of 0 and 1 for each value of the training split, and
none for a value that it lacks. A column with missing values in the training split gets one more, which marks them; a
missing number is the mean. What is the same in all training rows is left out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipeline.settings import Settings

if TYPE_CHECKING:
    from pandas import DataFrame, Series

Kind = Literal["number", "boolean", "text"]


class Number(Settings):
    """A column of numbers, and what the training split says of it."""

    kind: Literal["number"] = "number"
    name: str
    mean: float
    deviation: float
    """Standard deviation; 0: it is the same in all training rows, and is left out."""
    has_missing: bool

    @classmethod
    def learnt(cls, name: str, column: "Series") -> "Number":
        """Learn it from the training split."""
        values = numbers(column)
        known = values[~np.isnan(values)]
        varies = len(known) > 0 and known.min() < known.max()
        mean = float(known.mean()) if len(known) else 0.0
        deviation = float(known.std()) if varies else 0.0
        return cls(name=name, mean=mean, deviation=deviation, has_missing=0 < len(known) < len(values))

    def encoded(self, column: "Series") -> list[NDArray[np.float64]]:
        """Return its columns of numbers, each (rows,)."""
        values = numbers(column)
        missing = np.isnan(values)
        found = [np.where(missing, 0.0, (values - self.mean) / self.deviation)] if self.deviation else []
        return [*found, missing.astype(np.float64)] if self.has_missing else found


class Category(Settings):
    """A column of booleans or texts, and what the training split says of it."""

    kind: Literal["boolean", "text"]
    name: str
    values: list[str]
    """Those of the training split, sorted."""
    has_missing: bool

    @classmethod
    def learnt(cls, name: str, kind: Literal["boolean", "text"], column: "Series") -> "Category":
        """Learn it from the training split."""
        found = words(column)
        known = sorted({word for word in found if word is not None})
        return cls(name=name, kind=kind, values=known, has_missing=None in found)

    def encoded(self, column: "Series") -> list[NDArray[np.float64]]:
        """Return its columns of 0 and 1, each (rows,)."""
        values: list[str | None] = [*self.values, *([None] if self.has_missing else [])]
        if len(values) < 2:
            return []
        place = {value: number for number, value in enumerate(values)}
        numbers = np.array([place.get(word, -1) for word in words(column)])
        return [(numbers == number).astype(np.float64) for number in range(len(values))]


class Encoding(Settings):
    """All that turns rows of a table into numbers, and a network's outputs into answers."""

    columns: list[Annotated[Number | Category, Field(discriminator="kind")]]
    """In the order of the table."""
    target: str
    classes: list[str]
    """Empty for a regression."""
    mean: float = 0.0
    """Of the target of a regression, in the training split."""
    deviation: float = 1.0
    """The standard deviation of that target there."""
    example: dict[str, Any]
    """A row of the validation split, as the table has it."""

    @classmethod
    def learnt(
        cls, rows: "DataFrame", kinds: dict[str, Kind], target: str, classes: Sequence[str], y: NDArray[Any]
    ) -> "Encoding":
        """Learn it from the training split; ``example`` is left for the caller to fill.

        Args:
            rows: the training rows.
            kinds: of each column that counts.
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
        found = [part for column in self.columns for part in column.encoded(rows[column.name])]
        return np.column_stack(found).astype(np.float32) if found else np.empty((len(rows), 0), np.float32)

    def widths(self) -> dict[str, int]:
        """Return how many columns of 0 and 1 stand for each column of texts or booleans."""
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
        """Return logits as they are, and the numbers of a regression in the target's own units."""
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
        found: NDArray[np.float64] = column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError) as error:
        raise ValueError(f"column {column.name!r} must hold numbers ({error})") from None
    return found


def words(column: "Series") -> list[str | None]:
    """Return a column as texts; a missing one is None."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        names = [str(name) for name in column.cat.categories]
        return [names[code] if code >= 0 else None for code in column.cat.codes]
    missing = column.isna()
    return [None if gone else str(value) for value, gone in zip(column.astype(object), missing, strict=True)]
