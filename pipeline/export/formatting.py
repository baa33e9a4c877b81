"""Writes Python source in the style of a code formatter, splitting long calls, lists and dicts over several lines."""

import textwrap
from dataclasses import dataclass

WIDTH = 88
"""The maximum line length of exported code, which is also the default of Black and ruff."""


@dataclass(frozen=True)
class Raw:
    """Source text that is written unchanged, such as the name of a variable."""

    text: str


@dataclass(frozen=True)
class Bracketed:
    """A call, list or dict, split into its opening, its items with their prefixes (such as `lr=`), and its closing."""

    opening: str
    items: "tuple[tuple[str, Source], ...]"
    closing: str


Source = Raw | Bracketed


def call(name: str, *positional: object, **named: object) -> Bracketed:
    """Return the source of a call to ``name`` with the given arguments."""
    items = [("", value) for value in positional] + [(f"{key}=", value) for key, value in named.items()]
    return Bracketed(f"{name}(", tuple((prefix, as_source(value)) for prefix, value in items), ")")


def as_source(value: object) -> Source:
    """Return the source of a plain value, with strings in double quotes. A `Source` is returned unchanged."""
    if isinstance(value, Raw | Bracketed):
        return value
    if isinstance(value, list):
        return Bracketed("[", tuple(("", as_source(item)) for item in value), "]")
    if isinstance(value, dict):
        return Bracketed("{", tuple((f"{_quoted(key)}: ", as_source(item)) for key, item in value.items()), "}")
    return Raw(_quoted(value) if isinstance(value, str) else repr(value))


def _quoted(text: str) -> str:
    escaped = repr(f"'{text}")  # the added apostrophe makes repr choose double quotes
    return f'"{escaped[2:]}' if escaped.startswith('"') else repr(text)


def lines(value: object, before: str = "", after: str = "", indent: int = 0) -> list[str]:
    """Return the source of a value as a list of lines, beginning with the text ``before`` and ending with ``after``.

    If a call, list or dict does not fit on one line, each item gets its own line.
    """
    source, pad = as_source(value), " " * indent
    flat = f"{pad}{before}{_flat(source)}{after}"
    if isinstance(source, Raw) or not source.items or len(flat) <= WIDTH:
        return [flat]
    inner = [line for prefix, item in source.items for line in lines(item, prefix, ",", indent + 4)]
    return [f"{pad}{before}{source.opening}", *inner, f"{pad}{source.closing}{after}"]


def comment(text: str) -> list[str]:
    """Return ``text`` as the lines of a comment."""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _flat(source: Source) -> str:
    if isinstance(source, Raw):
        return source.text
    return source.opening + ", ".join(prefix + _flat(item) for prefix, item in source.items) + source.closing
