"""Defines schedules that the user's own code builds, such as `class: "my_package.my_module:build"` in params.yaml."""

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, JsonValue, PlainValidator, SerializeAsAny, model_validator

from pipeline.errors import UserError
from pipeline.schedules.base import REGISTRY, Schedule, arguments
from pipeline.schedules.guarded import GuardedScheduler
from pipeline.settings import Resolved, class_field, validated_by_class
from pipeline.user_code import BUILDER, BuilderName, builder, check_names, check_settings, is_builder, told

if TYPE_CHECKING:
    from torch.optim import Optimizer

LENGTHS = ("epochs", "steps")
"""The keyword arguments that a builder gets in addition to the user's settings."""


class UserSchedule(Schedule):
    """computed by your own code

    The builder is called as `build(optimizer, epochs=..., steps=..., **settings)`. The argument `steps` is the
    number of scheduler steps in the run. The builder returns a torch scheduler, or an object with the methods `step()`,
    `get_last_lr()` and `state_dict()`.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    own = True

    class_: BuilderName = class_field
    """The name of the builder, written as `module:function`."""

    @model_validator(mode="after")
    def _settings_can_be_passed(self) -> "UserSchedule":
        reason = f"{self.class_} gets the value of the run"
        reserved = dict.fromkeys(("optimizer", *LENGTHS), reason) | {"lr": "the optimizer has the base LR"}
        check_names(self.settings, reserved)
        return self

    @property
    def settings(self) -> dict[str, Any]:
        """The user's settings, as they are written in params.yaml."""
        return dict(self.__pydantic_extra__)

    def _settle(self, resolved: Resolved, lr: float, epochs: int, steps: int) -> None:
        resolved |= {"epochs": epochs, "steps": steps} | self.settings

    def build(self, optimizer: "Optimizer", epochs: int, batches: int) -> GuardedScheduler:
        """Call the user's builder, and return the scheduler in a wrapper.

        Raises:
            UserError: the builder cannot be imported, does not accept the settings, raises an exception, or returns an
                object without the methods of a scheduler.
        """
        given = arguments(self.resolve(optimizer.param_groups[0]["lr"], epochs, batches))
        build = builder("schedule", self.class_)
        check_settings("schedule", self.class_, build, given, LENGTHS)
        try:
            scheduler = build(optimizer, **given)
        except Exception as error:  # the user's code may raise any exception
            raise UserError(f"schedule {self.class_}: {told(error)}") from error
        return GuardedScheduler(scheduler, self.class_)


def _validated(given: Any) -> Schedule:
    if isinstance(given, Schedule):
        return given
    if isinstance(given, dict) and is_builder(given.get("class")):
        return UserSchedule.model_validate(given)
    return validated_by_class(given, REGISTRY | {BUILDER: UserSchedule})


AnySchedule = Annotated[SerializeAsAny[Schedule], PlainValidator(_validated)]
"""A schedule in params.yaml, where the key `class` names its class."""
