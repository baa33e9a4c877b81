"""Python source in the style of a code formatter: calls, lists and dicts that do not fit on a line are broken up."""

import textwrap
from dataclasses import dataclass

WIDTH = 88
"""Line length of emitted code: the default of Black and ruff."""


@dataclass(frozen=True)
class Raw:
    """The source of an expression."""

    text: str


@dataclass(frozen=True)
class Bracketed:
    """A call, list or dict, split into an opening text, items with their prefixes, and a closing text."""

    opening: str
    items: "tuple[tuple[str, Source], ...]"
    closing: str


Source = Raw | Bracketed


def call(name: str, *positional: object, **named: object) -> Bracketed:
    """Return a call to ``name`` with these arguments, which `as_source` converts."""
    items = [("", value) for value in positional] + [(f"{key}=", value) for key, value in named.items()]
    return Bracketed(f"{name}(", tuple((prefix, as_source(value)) for prefix, value in items), ")")


def as_source(value: object) -> Source:
    """Return a plain value as source, with strings in double quotes; a value that is already source stays unchanged."""
    if isinstance(value, Raw | Bracketed):
        return value
    if isinstance(value, list):
        return Bracketed("[", tuple(("", as_source(item)) for item in value), "]")
    if isinstance(value, dict):
        return Bracketed("{", tuple((f"{_quoted(key)}: ", as_source(item)) for key, item in value.items()), "}")
    return Raw(_quoted(value) if isinstance(value, str) else repr(value))


def _quoted(text: str) -> str:
    escaped = repr(f"'{text}")  # the apostrophe makes repr choose double quotes
    return f'"{escaped[2:]}' if escaped.startswith('"') else repr(text)


def lines(value: object, before: str = "", after: str = "", indent: int = 0) -> list[str]:
    """Return a value as lines of source between two texts; a bracket that is too long gets a line for each item."""
    source, pad = as_source(value), " " * indent
    flat = f"{pad}{before}{_flat(source)}{after}"
    if isinstance(source, Raw) or not source.items or len(flat) <= WIDTH:
        return [flat]
    inner = [line for prefix, item in source.items for line in lines(item, prefix, ",", indent + 4)]
    return [f"{pad}{before}{source.opening}", *inner, f"{pad}{source.closing}{after}"]


def comment(text: str) -> list[str]:
    """Return text as the lines of a comment."""
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _flat(source: Source) -> str:
    if isinstance(source, Raw):
        return source.text
    return source.opening + ", ".join(prefix + _flat(item) for prefix, item in source.items) + source.closing
