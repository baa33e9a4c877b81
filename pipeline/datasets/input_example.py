"""Functions that read an input example for a served network, or a table's encoding, from the prepared data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from pipeline.datasets.columns import Encoding
from pipeline.datasets.store import ENCODING, TOKENIZER, summary

if TYPE_CHECKING:
    from pandas import DataFrame


def encoding(folder: Path) -> Encoding | None:
    """Return the stored encoding of a table, or None if the data are not a table."""
    path = folder / ENCODING
    return Encoding.model_validate_json(path.read_text(encoding="utf-8")) if path.exists() else None


def example(folder: Path) -> "NDArray[Any] | str | DataFrame":
    """Return a validation example in the form that a served network expects.

    The example is an array of shape (1, channels, height, width) for pictures, an array of shape (1, features) for
    numbers, a single-row table for tables, and a string for texts. For a language model, the example is also a string:
    the text of one window of tokens.
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
