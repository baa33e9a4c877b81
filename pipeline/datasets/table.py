"""One's own table: a CSV or Parquet file with a column to predict from the others."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipeline.datasets.columns import Encoding, Kind, numbers, words
from pipeline.datasets.published import Encoded, Examples, Published, labels
from pipeline.datasets.store import Target
from pipeline.datasets.table_file import columns
from pipeline.errors import UserError, plural

if TYPE_CHECKING:
    from pandas import DataFrame, Series

MOST_CLASSES = 20
"""Whole numbers with more different values are a regression."""
MOST_VALUES = 100
"""A column of texts with more different values says little, and would be as many columns of numbers."""
LARGEST = 1e30
"""Larger numbers are taken for mistakes."""
SHOWN = 5
"""Most names in a line; the rest are counted."""


def load(settings: Mapping[str, Any], root: Path) -> Published:
    """Read the rows under `path`, and under `test_path` if it is set; examples are numbers of rows until `encode`.

    Raises:
        UserError: a file is not a table, lacks a column, or has columns that no number can stand for.
    """
    import pandas as pd

    target, drop, source = settings["target"], settings["drop"], str(settings["path"])
    paths = [settings[name] for name in ("path", "test_path") if settings[name] is not None]
    tables, notes = [], []
    for path, setting in zip(paths, ("path", "test_path"), strict=False):
        table = columns(root / path, setting, target, drop)
        known = table[table[target].notna()]
        if lost := len(table) - len(known):
            notes.append(f"{path}: {plural(lost, 'row')} without a target ({target!r}) left out")
        if known.empty:
            raise UserError(f"{root / path}: no row has a target ({target!r})")
        tables.append(known)
    kinds = _kinds(tables, [root / path for path in paths])
    rows = pd.concat([table[list(kinds)] for table in tables], ignore_index=True)
    y, classes, what = _target(rows[target], kinds.pop(target), len(tables[0]), root / source)
    notes.insert(0, f"target {target!r}: {what}")
    _check(rows, kinds, root / source)
    missing = {name: int(rows[name].isna().sum()) for name in kinds}
    if any(missing.values()):
        counts = [f"{name!r} ({count})" for name, count in missing.items() if count]
        notes.append(f"missing values are filled in: {_shortened(counts)}")
    parts = [Examples(part, y[part]) for part in np.split(np.arange(len(rows)), [len(tables[0])])]
    return Published(
        kind="number",
        source=source,
        train=parts[0],
        test=parts[1] if len(tables) > 1 else None,
        val_size=settings["val_share"],
        test_size=settings["test_share"],
        classes=classes,
        notes=notes,
        encode=partial(_encoded, rows, kinds, target, classes, root / source),
    )


def _encoded(
    rows: "DataFrame",
    kinds: dict[str, Kind],
    target: str,
    classes: Sequence[str],
    path: Path,
    splits: Mapping[str, Examples],
) -> Encoded:
    """Turn splits that hold numbers of rows into numbers, by what the training split says."""
    train = splits["train"]
    if not classes and (train.y.min() == train.y.max() or not train.y.std()):
        raise UserError(f"{path}: the target {target!r} is the same in all training rows, to rounding")
    learnt = Encoding.learnt(rows.iloc[train.x], kinds, target, classes, train.y)
    val = rows.iloc[splits["val"].x]
    shown = val.dropna() if not val.dropna().empty else val
    encoding = learnt.model_copy(update={"example": _plain(shown.iloc[:1], learnt)})
    notes = []
    if widths := encoding.widths():
        notes.append(f"one column for each value: {_shortened(f'{name!r} ({many})' for name, many in widths.items())}")
    if left_out := encoding.left_out():
        names = _shortened([repr(name) for name in left_out])
        notes.append(f"left out, as all training rows have the same: {names}")
    found, units = {}, None
    for name, split in splits.items():
        y = split.y if classes else ((split.y - encoding.mean) / encoding.deviation).astype(np.float32)
        found[name] = Examples(encoding.encoded(rows.iloc[split.x]), y)
    if not found["train"].x.shape[1]:
        raise UserError(f"{path}: no column beside the target {target!r} tells training rows apart")
    if not classes:
        units = Target(target, encoding.deviation, float(splits["test"].y.var()))
    return Encoded(found, encoding.model_dump_json(indent=2), units, notes)


def _plain(row: "DataFrame", encoding: Encoding) -> dict[str, Any]:
    """Return a row as JSON can hold it."""
    found: dict[str, Any] = {}
    for column in encoding.columns:
        if column.kind == "number":
            (number,) = numbers(row[column.name])
            found[column.name] = None if np.isnan(number) else float(number)
        else:
            (word,) = words(row[column.name])
            found[column.name] = word == "True" if column.kind == "boolean" and word is not None else word
    return found


def _target(column: "Series", kind: Kind, train: int, path: Path) -> tuple[NDArray[Any], list[str], str]:
    """Return targets, the names of the classes (none for a regression), and what the target was taken for.

    Args:
        column: of all files, without missing values.
        kind: of it.
        train: how many of its rows are not those of a test file.
        path: of the file, for errors.
    """
    if kind == "number":
        values = numbers(column)
        _check_finite(values, column.name, path)
        different = np.unique(values)
        whole = bool((different == np.floor(different)).all())
        if not whole or len(different) > MOST_CLASSES:
            sort = "whole numbers" if whole else "numbers"
            return values, [], f"{sort} with {len(different):,} different values, so this is a regression"
        classes, found = [str(int(value)) for value in different], np.searchsorted(different, values)
        sort = "whole numbers"
    else:
        texts = words(column)
        classes = sorted({text for text in texts if text is not None})
        place = {name: number for number, name in enumerate(classes)}
        found, sort = np.array([place[text] for text in texts if text is not None]), f"{kind}s"
    what = f"{sort} with {plural(len(classes), 'different value')}"
    if len(classes) < 2:
        raise UserError(f"{path}: the target {column.name!r} is {classes[0]!r} in all rows; it takes two classes")
    counts, least = np.bincount(found[:train], minlength=len(classes)), 3 if train == len(found) else 2
    if few := [f"{name!r} ({count})" for name, count in zip(classes, counts, strict=True) if count < least]:
        raise UserError(
            f"{path}: the target {column.name!r} is {what}, and {plural(len(few), 'class', 'es')} of them "
            f"{'has' if len(few) == 1 else 'have'} fewer than {least} rows: {_shortened(few)}"
        )
    return labels(found.tolist(), len(classes)), classes, f"{what}, so these are classes: {_shortened(classes)}"


def _kinds(tables: Sequence["DataFrame"], paths: Sequence[Path]) -> dict[str, Kind]:
    """Return the kind of each column, the target's too, which is the same in all files."""
    found: dict[str, Kind] = {}
    for name in tables[0].columns:
        kinds: dict[Kind, Path] = {}
        for table, path in zip(tables, paths, strict=True):
            if name not in table.columns:
                raise UserError(f"{path}: has no column {name!r}, which {paths[0]} has")
            if kind := _kind(table[name], path):
                kinds.setdefault(kind, path)
        if len(kinds) > 1:
            told = ", but ".join(f"{kind}s in {path}" for kind, path in kinds.items())
            raise UserError(f"column {name!r} holds {told}")
        found[name] = next(iter(kinds), "number")
    return found


def _kind(column: "Series", path: Path) -> Kind | None:
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


def _check(rows: "DataFrame", kinds: Mapping[str, Kind], path: Path) -> None:
    """Refuse columns that would be too many columns of numbers, or are no finite ones."""
    for name, kind in kinds.items():
        if kind == "number":
            _check_finite(numbers(rows[name]), name, path)
        elif (count := rows[name].nunique()) > MOST_VALUES:
            raise UserError(
                f"{path}: column {name!r} has {count:,} different texts, and at most {MOST_VALUES} are allowed; "
                f"leave it out: drop: [{name}]"
            )


def _check_finite(values: NDArray[np.float64], name: object, path: Path) -> None:
    if wrong := int((np.abs(values) > LARGEST).sum()):
        raise UserError(f"{path}: column {name!r} is infinite or beyond {LARGEST:g} in {plural(wrong, 'row')}")


def _shortened(parts: Iterable[str]) -> str:
    listed = list(parts)
    more = [f"and {len(listed) - SHOWN:,} more"] if len(listed) > SHOWN else []
    return ", ".join([*listed[:SHOWN], *more])
