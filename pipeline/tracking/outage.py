"""A store that does not answer: one warning, another try from time to time, and no result is lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pipeline.tracking.client import root_cause

TRIES = 3
"""How often something is tried that clashes."""
PAUSE = 30.0
"""Seconds between two tries, at the least."""
SHARE = 0.1
"""The largest share of the time that waiting for a store may take that is down."""


class Outage:
    """Whether a store answers, and when it is tried again if it does not.

    Args:
        uri: of the store.
        warn: called with one line when the store fails, and when it is back.
        clock: the time in seconds.
    """

    def __init__(self, uri: str, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._uri, self._warn, self._clock = uri, warn, clock
        self._next = 0.0
        self.lasts = False
        """True from the first failure until something succeeds."""

    @property
    def is_worth_a_try(self) -> bool:
        """True unless the store has just failed."""
        return not self.lasts or self._clock() >= self._next

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Use the store in the block; an exception there is an outage, and goes no further."""
        begun = self._clock()
        try:
            yield
        except Exception as error:
            now = self._clock()
            self._next = now + max(PAUSE, (now - begun) / SHARE)
            if not self.lasts:
                self.lasts = True
                self._warn(
                    f"MLflow: the store {self._uri} failed ({root_cause(error)}); results are kept, untracked until it "
                    "is back: `uv run pipeline track` logs what it lacks"
                )
        else:
            if self.lasts:
                self.lasts = False
                self._warn(f"MLflow: the store {self._uri} is back")
