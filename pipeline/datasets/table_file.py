"""A function that reads a table from a CSV or Parquet file.

A CSV file must have a header. The file is read with pandas' default settings, so empty cells, `NA` and similar texts
count as missing values.
"""

import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pandas import DataFrame

LISTED = 20
"""Maximum number of columns that an error message lists."""


def columns(path: Path, setting: str, target: str, drop: Sequence[str]) -> "DataFrame":
    """Return the table in a file, without the columns in ``drop``.

    Args:
        path: a .csv, .csv.gz, .tsv or .parquet file.
        setting: the setting that names the file. Columns in ``drop`` may be missing only from the file that `test_path`
            names.
        target: the column to predict.
        drop: the columns to leave out.

    Raises:
        UserError: the file is missing or is not a table, or the table lacks a column.
    """
    table, names = _read(path, setting)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise UserError(f"{path}: two columns have the name {twice[0]!r}")
    if "" in names:
        raise UserError(
            f"{path}: column {names.index('') + 1} has no name; if it is an index that pandas wrote, write the file "
            "with index=False"
        )
    for name, key in [(target, "target"), *((name, "drop") for name in drop)]:
        if name not in names and (setting == "path" or key == "target"):
            raise UserError(f"{path}: has no column {name!r}, which {key} names; {_nearest(name, names)}")
    if table.empty:
        raise UserError(f"{path}: no rows below the header")
    kept = table.drop(columns=[name for name in drop if name in table.columns])
    if len(kept.columns) < 2:
        raise UserError(f"{path}: has no column to predict the target {target!r} from")
    return kept


def _nearest(name: str, names: Sequence[str]) -> str:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        return f"its header is one column, {names[0][:60]!r}; commas must separate columns, or tabs in a .tsv file"
    if len(names) <= LISTED:
        return did_you_mean(name, names)
    return did_you_mean(name, names).partition("allowed: ")[0] + f"it has {len(names):,} columns"


def _read(path: Path, setting: str) -> tuple["DataFrame", list[str]]:
    """Return the table in a file, and the names of the columns in its header."""
    import pandas as pd

    if path.is_dir():
        raise UserError(f"{path}: a folder; the dataset's {setting} must be a file: .csv, .csv.gz, .tsv or .parquet")
    if not path.is_file():
        raise UserError(f"{path}: no such file; set the dataset's {setting}, from the project's root or absolute")
    try:
        if path.name.lower().endswith(".parquet"):
            import pyarrow.parquet

            names = pyarrow.parquet.read_schema(path).names
            table = pd.read_parquet(path, engine="pyarrow")
            return table, [name for name in names if name in table.columns]  # without pandas' index
        separator = "\t" if path.name.lower().endswith(".tsv") else ","
        header = pd.read_csv(path, sep=separator, header=None, nrows=1, dtype=str, na_filter=False)
        table = pd.read_csv(path, sep=separator, low_memory=False)
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8; save the file in that encoding") from None
    except pd.errors.EmptyDataError:
        raise UserError(f"{path}: empty; a table must begin with a header") from None
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: cannot be read as a table ({reason})") from None
    if not isinstance(table.index, pd.RangeIndex):
        raise UserError(f"{path}: its rows have more fields than its header")
    return table, [str(name) for name in header.iloc[0]]
