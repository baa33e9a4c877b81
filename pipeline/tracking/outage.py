"""A store that fails: which errors are the store's, and when it is tried again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PACKAGES = frozenset(("mlflow", "sqlalchemy", "alembic", "requests", "urllib3", "boto3", "botocore", "google", "azure"))
"""Packages whose errors are the store's: MLflow, its database, the network, storage in a cloud."""
PAUSE = 30.0
"""Seconds between two tries, at the least."""
SHARE = 0.1
"""The largest share of the time that waiting for a failing store may take."""


class StoreError(Exception):
    """The store failed; the message is one line, the cause."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Raise a StoreError for any error of the store in the block; other exceptions are bugs, and pass unchanged."""
    try:
        yield
    except Exception as error:
        if not is_store_error(error):
            raise
        raise StoreError(root_cause(error)) from error


def is_store_error(error: Exception) -> bool:
    """Return True for an error of a package in `PACKAGES`, a connection or a file (the store keeps files, too)."""
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not PACKAGES.isdisjoint(packages)


def root_cause(error: Exception) -> str:
    """Return the first line of the innermost error, which the others only wrap."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return (str(error) or type(error).__name__).splitlines()[0][:300]


class Outage:
    """Whether a store fails at present, and when it is tried again.

    Args:
        uri: of the store, as messages show it.
        warn: called with one line when the store fails, and when it is back.
        clock: returns the time in seconds.
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
        """Use the store in the block: an error of the store becomes a warning, the first of an outage."""
        started = self._clock()
        try:
            with store_errors():
                yield
        except StoreError as error:
            now = self._clock()
            self._next = now + max(PAUSE, (now - started) / SHARE)
            if not self.lasts:
                self.lasts = True
                self._warn(
                    f"MLflow: the store {self._uri} failed ({error}); results are kept, untracked until it is back: "
                    "`uv run pipeline track` logs what it lacks"
                )
        else:
            if self.lasts:
                self.lasts = False
                self._warn(f"MLflow: the store {self._uri} is back")
