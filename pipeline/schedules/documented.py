"""Settings whose class documents a formula and its source."""

import inspect

from pipeline.settings import Settings


class Documented(Settings):
    """Settings whose docstring begins with a formula and may end with `Source: ...`."""

    @classmethod
    def formula(cls) -> str:
        """Return the first line of the docstring."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0]

    @classmethod
    def source(cls) -> str:
        """Return the publications that the docstring names; empty if there are none."""
        _, _, source = inspect.cleandoc(cls.__doc__ or "").partition("Source: ")
        return " ".join(source.split()).rstrip(".")
