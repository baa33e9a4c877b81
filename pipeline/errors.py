"""Errors that end a command with a one-line message, and functions that return parts of error messages."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake that the user can correct. The one-line message says what is wrong and where, and what is allowed."""


class ExternalError(Exception):
    """A failure outside the pipeline, such as a full disk or a server that is down. The message is a single line."""


class DamagedError(Exception):
    """Raised when a file that the pipeline wrote is damaged."""


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """Return the end of an error message about an unknown ``word``: the most similar name and all allowed names."""
    names = sorted(allowed)
    near = get_close_matches(str(word), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(names) or 'none'}"


def plural(count: int, noun: str, ending: str = "s") -> str:
    """Return a count followed by its noun, such as `1 seed` or `1,200 seeds`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{ending}"
