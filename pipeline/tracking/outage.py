"""Functions that distinguish store failures from bugs, and a class that decides when to try the store again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PACKAGES = frozenset(("mlflow", "sqlalchemy", "alembic", "requests", "urllib3", "boto3", "botocore", "google", "azure"))
"""The packages whose exceptions count as failures of the store."""
PAUSE = 30.0
"""The minimum number of seconds between two attempts to use a failing store."""
SHARE = 0.1
"""The maximum fraction of an outage that is spent on attempts to use the failing store."""


class StoreError(Exception):
    """A failure of the store; the message states the cause in one line."""


@contextmanager
def store_errors() -> Iterator[None]:
    """Turn store errors in the block into a StoreError, but let all other exceptions, which are bugs, pass through."""
    try:
        yield
    except Exception as error:
        if not is_store_error(error):
            raise
        raise StoreError(root_cause(error)) from error


def is_store_error(error: Exception) -> bool:
    """Return True for an exception from a package in `PACKAGES` and for any OSError, such as a lost connection."""
    packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not PACKAGES.isdisjoint(packages)


def root_cause(error: Exception) -> str:
    """Return the first line of the message of the innermost exception in a chain."""
    while isinstance(inner := error.__cause__ or error.__context__, Exception):
        error = inner
    return (str(error) or type(error).__name__).splitlines()[0][:300]


class Outage:
    """The state of a store: whether it is failing, and when to try it again.

    Args:
        uri: the address of the store, as shown in messages.
        warn: called with one line when the store fails, and when it works again.
        clock: returns the time in seconds.
    """

    def __init__(self, uri: str, warn: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._uri, self._warn, self._clock = uri, warn, clock
        self._next = 0.0
        self.lasts = False
        """True from the store's first failure until the store works again."""

    @property
    def is_worth_a_try(self) -> bool:
        """True if the store works, or if it is time to try a failing store again."""
        return not self.lasts or self._clock() >= self._next

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Catch failures of the store in the block, and warn once when an outage begins and once when it ends."""
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
                    f"MLflow: the store {self._uri} failed ({error}); results are kept, but not tracked until it is "
                    "back: `uv run pipeline track` then logs what is missing"
                )
        else:
            if self.lasts:
                self.lasts = False
                self._warn(f"MLflow: the store {self._uri} is back")
