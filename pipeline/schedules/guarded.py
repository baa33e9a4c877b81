"""Wraps the user's scheduler so that any exception in its methods becomes a one-line error."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import UserError
from pipeline.user_code import told

METHODS = ("step", "get_last_lr", "state_dict")
"""The methods that a scheduler must have."""


class GuardedScheduler:
    """The user's scheduler, wrapped so that any exception in its methods becomes a `UserError`.

    Args:
        scheduler: the object that the user's builder returned.
        name: the name of the builder.

    Raises:
        UserError: the scheduler lacks one of the `METHODS`.
    """

    def __init__(self, scheduler: Any, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        lacks = [f"{method}()" for method in METHODS if not callable(getattr(scheduler, method, None))]
        if lacks:
            raise UserError(f"schedule {name}: returns {type(scheduler).__name__}, which lacks {', '.join(lacks)}")

    @property
    def can_load(self) -> bool:
        """True if the scheduler has its own method for restoring a state."""
        return callable(getattr(self.scheduler, "load_state_dict", None))

    def step(self) -> None:
        """Step the scheduler."""
        with self._one_line("step"):
            self.scheduler.step()

    def get_last_lr(self) -> list[float]:
        """Return the rate of each parameter group.

        Raises:
            UserError: the scheduler returns something other than a list of finite, non-negative numbers.
        """
        with self._one_line("get_last_lr"):
            returned = self.scheduler.get_last_lr()
            rates = [float(rate) for rate in returned]
        if not rates or not all(0 <= rate < math.inf for rate in rates):
            raise UserError(f"schedule {self.name}: get_last_lr() returns {returned}; allowed: finite numbers from 0")
        return rates

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the scheduler."""
        with self._one_line("state_dict"):
            state = self.scheduler.state_dict()
        if not isinstance(state, dict):
            raise UserError(f"schedule {self.name}: state_dict() returns {type(state).__name__}, not a dictionary")
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a state with the scheduler's `load_state_dict`, or by setting attributes as torch does."""
        with self._one_line("load_state_dict"):
            if self.can_load:
                self.scheduler.load_state_dict(state)
            else:
                vars(self.scheduler).update(state)

    @contextmanager
    def _one_line(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the user's code may raise any exception
            raise UserError(f"schedule {self.name}: {method}() raises {told(error)}") from error
