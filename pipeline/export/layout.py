"""Python source, laid out as a formatter would: calls, lists and dicts that break where a line is too long."""

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WIDTH = 88
"""Columns of emitted code: what Black and ruff take unless told otherwise."""


@dataclass(frozen=True)
class Raw:
    """Text that is an expression already."""

    text: str


@dataclass(frozen=True)
class Bracketed:
    """A call, a list or a dict: what opens it, its items with what stands before each, what closes it."""

    opening: str
    items: "tuple[tuple[str, Source], ...]"
    closing: str


Source = Raw | Bracketed


def call(name: str, *positional: Source, **named: Source) -> Bracketed:
    """Return a call of ``name``."""
    items = [("", value) for value in positional] + [(f"{key}=", value) for key, value in named.items()]
    return Bracketed(f"{name}(", tuple(items), ")")


def listed(values: Iterable[Source]) -> Bracketed:
    """Return a list."""
    return Bracketed("[", tuple(("", value) for value in values), "]")


def mapping(values: Mapping[str, Source]) -> Bracketed:
    """Return a dict with texts as keys."""
    return Bracketed("{", tuple((f"{literal(key).text}: ", value) for key, value in values.items()), "}")


def literal(value: object) -> Raw:
    """Return a plain value as source: texts in double quotes, a list of numbers as a tuple."""
    if isinstance(value, str):
        escaped = repr(f"'{value}")  # the apostrophe makes repr choose double quotes
        return Raw(f'"{escaped[2:]}') if escaped.startswith('"') else Raw(repr(value))
    if isinstance(value, list):
        return Raw(repr(tuple(value)))
    return Raw(repr(value))


def lines(value: Source, before: str = "", after: str = "", indent: int = 0) -> list[str]:
    """Return the lines of an expression between two texts; a bracket that is too long has a line for each item."""
    pad = " " * indent
    flat = f"{pad}{before}{_flat(value)}{after}"
    if isinstance(value, Raw) or not value.items or len(flat) <= WIDTH:
        return [flat]
    inner = [line for prefix, item in value.items for line in lines(item, prefix, ",", indent + 4)]
    return [f"{pad}{before}{value.opening}", *inner, f"{pad}{value.closing}{after}"]


def comment(text: str, indent: int = 0) -> list[str]:
    """Return a text as the lines of a comment."""
    prefix = " " * indent + "# "
    return textwrap.wrap(text, WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_long_words=False)


def indented(block: Iterable[str], indent: int) -> list[str]:
    """Return lines that stand ``indent`` columns further in."""
    return [" " * indent + line if line else line for line in block]


def _flat(value: Source) -> str:
    if isinstance(value, Raw):
        return value.text
    return value.opening + ", ".join(prefix + _flat(item) for prefix, item in value.items) + value.closing
