"""The user's own schedules: `class: "my_package.my_module:build"` in params.yaml."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, JsonValue, PlainValidator, SerializeAsAny, model_validator

from pipeline.errors import UserError
from pipeline.schedules.base import REGISTRY, Schedule, arguments
from pipeline.settings import Resolved, class_field, validated_by_class
from pipeline.user_code import BUILDER, BuilderName, builder, check_names, check_settings, is_builder, told

if TYPE_CHECKING:
    from torch.optim import Optimizer

LENGTHS = ("epochs", "steps")
"""The arguments that a builder gets besides the user's settings."""
METHODS = ("step", "get_last_lr", "state_dict")
"""The methods that a scheduler must have."""


class UserScheduler:
    """The user's scheduler, wrapped so that every error in its methods is a `UserError`.

    Args:
        scheduler: the object that the user's builder returned.
        name: the name of the builder.

    Raises:
        UserError: the scheduler lacks a method.
    """

    def __init__(self, scheduler: Any, name: str) -> None:
        self.scheduler, self.name = scheduler, name
        lacks = [f"{method}()" for method in METHODS if not callable(getattr(scheduler, method, None))]
        if lacks:
            raise UserError(f"schedule {name}: returns {type(scheduler).__name__}, which lacks {', '.join(lacks)}")

    @property
    def can_load(self) -> bool:
        """True if the scheduler itself restores a state."""
        return callable(getattr(self.scheduler, "load_state_dict", None))

    def step(self) -> None:
        """Step the scheduler."""
        with self._one_line("step"):
            self.scheduler.step()

    def get_last_lr(self) -> list[float]:
        """Return the rate of each parameter group.

        Raises:
            UserError: the scheduler does not return a list of finite numbers from 0.
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
        """Restore a state with the scheduler's own method; without one, set its attributes, as torch does."""
        with self._one_line("load_state_dict"):
            if self.can_load:
                self.scheduler.load_state_dict(state)
            else:
                vars(self.scheduler).update(state)

    @contextmanager
    def _one_line(self, method: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the user's code can raise any error
            raise UserError(f"schedule {self.name}: {method}() raises {told(error)}") from error


class UserSchedule(Schedule):
    """computed by your own code

    The builder is called as `build(optimizer, epochs=..., steps=..., **settings)`; `steps` is the number of the
    scheduler's steps in the run. It returns a torch scheduler, or an object with `step()`, `get_last_lr()` and
    `state_dict()`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    own = True

    class_: BuilderName = class_field
    """Module and function of the builder."""

    @model_validator(mode="after")
    def _settings_can_be_passed(self) -> "UserSchedule":
        reason = f"{self.class_} gets the value of the run"
        reserved = dict.fromkeys(("optimizer", *LENGTHS), reason) | {"lr": "the optimizer has the base LR"}
        check_names(self.settings, reserved)
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The user's settings, as params.yaml writes them."""
        return dict(self.__pydantic_extra__)

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        resolved |= {"epochs": epochs, "steps": steps} | self.settings

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> UserScheduler:
        """Call the user's builder.

        Raises:
            UserError: the builder cannot be imported, does not accept the settings, fails, or returns no scheduler.
        """
        given = arguments(self.resolve(optimizer.param_groups[0]["lr"], epochs, batches))
        build = builder("schedule", self.class_)
        check_settings("schedule", self.class_, build, given, LENGTHS)
        try:
            scheduler = build(optimizer, **given)
        except Exception as error:  # the user's code can raise any error
            raise UserError(f"schedule {self.class_}: {told(error)}") from error
        return UserScheduler(scheduler, self.class_)


def _validated(given: Any) -> Schedule:
    if isinstance(given, Schedule):
        return given
    if isinstance(given, dict) and is_builder(given.get("class")):
        return UserSchedule.model_validate(given)
    return validated_by_class(given, REGISTRY | {BUILDER: UserSchedule})


AnySchedule = Annotated[SerializeAsAny[Schedule], PlainValidator(_validated)]
"""A schedule of the class that the key `class` names."""
