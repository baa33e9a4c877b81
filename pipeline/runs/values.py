"""Defines types of values in params.yaml: seeds, margins, and one or more rates or names of optimizers."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

LOWEST_RATE, HIGHEST_RATE = 1e-30, 1e30
RATES = f"a learning rate from {LOWEST_RATE:g} to {HIGHEST_RATE:g}"


def one_or_many(what: str, fits: Callable[[Any], bool]) -> BeforeValidator:
    """Return a validator for one item or a list of different items.

    Args:
        what: a description of an item for the error message.
        fits: returns True if an item is allowed.
    """

    def check(given: Any) -> Any:
        if given is None:
            raise PydanticCustomError("empty", "must be {what}, or a list of them", {"what": what})
        many = given if isinstance(given, list) else [given]
        if not many:
            raise ValueError(f"an empty list: give {what}, or a list of them")
        for item in many:
            if not fits(item):
                raise ValueError(f"{item!r} is not {what}, nor a list of them")
            if many.count(item) > 1:
                raise ValueError(f"{item!r} is given twice")
        return given

    return BeforeValidator(check)


def is_rate(item: Any) -> bool:
    """Return True if ``item`` can be a learning rate. A number outside the limits is treated as a typo."""
    return type(item) in (int, float) and LOWEST_RATE <= item <= HIGHEST_RATE


def short(rate: float) -> str:
    """Return ``rate`` as text, in short form if this loses no digits, and in full otherwise."""
    return f"{rate:g}" if float(f"{rate:g}") == rate else repr(rate)


def is_text(item: Any) -> bool:
    """Return True if ``item`` is text, as every name must be."""
    return isinstance(item, str)


def _seeds(given: Any) -> Any:
    if given == "auto":
        return given
    if type(given) is int and 1 <= given <= 10_000:
        return list(range(given))
    is_list = isinstance(given, list) and all(type(seed) is int and 0 <= seed < 2**32 for seed in given)
    if is_list and given and len(set(given)) == len(given):
        return given
    raise PydanticCustomError("seeds", "must be auto, a count from 1 to 10000, or a list of different seeds from 0")


Seeds = Annotated[Literal["auto"] | list[int], BeforeValidator(_seeds)]
"""The seeds: `auto` for as many seeds as the answer needs, a number n for the seeds 0 to n - 1, or a list of seeds."""
Margin = Annotated[float, Field(ge=1e-6, lt=100)]
"""The smallest difference that matters, in percentage points of an accuracy or in per cent of a loss."""
OneOrMoreRates = Annotated[float | list[float], one_or_many(RATES, is_rate)]
OneOrMoreOptimizers = Annotated[str | list[str], one_or_many("the name of an optimizer", is_text)]
