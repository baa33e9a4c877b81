"""The input of a served network: an example, and the encoding of a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.datasets.columns import Encoding
from pipeline.datasets.store import ENCODING, TOKENIZER, summary

if TYPE_CHECKING:
    from pandas import DataFrame


def encoding(folder: Path) -> Encoding | None:
    """Read the encoding of a table's rows; None if the data are no table."""
    path = folder / ENCODING
    return Encoding.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def example(folder: Path) -> "NDArray[Any] | str | DataFrame":
    """Return one validation example as a served network takes it.

    It is (1, channels, height, width), (1, features), a text, a table with one row, or the text of a window.
    """
    from safetensors import safe_open

    if table := encoding(folder):
        return table.table()
    with safe_open(folder / "val.safetensors", framework="np") as arrays:
        if "x" in arrays.keys():  # noqa: SIM118
            x: NDArray[Any] = arrays.get_slice("x")[:1]
            return x
        from tokenizers import Tokenizer

        facts = summary(folder)
        start, end = (0, *facts.input_shape) if facts.kind == "tokens" else arrays.get_slice("offsets")[:2]
        words: str = Tokenizer.from_file(str(folder / TOKENIZER)).decode(arrays.get_slice("tokens")[start:end].tolist())
        return words
