"""Errors that end a command with one line, and words for such lines."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake that the user can mend; its message is one line: what, where, what is allowed."""


class ExternalError(Exception):
    """Something outside went wrong that is no mistake in what the user wrote; its message is one line."""


class DamagedError(Exception):
    """A file of ours is not as it was written."""


def did_you_mean(word: object, allowed: Iterable[str]) -> str:
    """The end of an error line about an unknown ``word``: the nearest name and all that is allowed."""
    names = sorted(allowed)
    near = get_close_matches(str(word), names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(names) or 'none'}"


def plural(count: int, noun: str, ending: str = "s") -> str:
    """Return a count with its noun: `1 seed`, `1,200 seeds`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{ending}"
