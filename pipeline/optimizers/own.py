"""Defines the type `AnyOptimizer`, and optimizers that the user's own code builds.

An example is `class: "my_package.my_module:build"` in params.yaml.
"""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, JsonValue, PlainValidator, SerializeAsAny, model_validator

from pipeline.errors import UserError
from pipeline.optimizers.base import Optimizer, groups
from pipeline.optimizers.torch_optim import classes
from pipeline.settings import class_field, validated_by_class
from pipeline.user_code import BUILDER, BuilderName, builder, check_names, check_settings, is_builder, told

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as TorchOptimizer


class UserOptimizer(Optimizer):
    """An optimizer that the user's builder returns.

    The builder is called as `build(parameters, lr=..., **settings)`. The argument `parameters` is a list of weights or,
    if the task sets `no_decay`, a list of parameter groups.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, JsonValue]

    listed = False
    fused = False
    thread_invariant = False  # unknown for the user's code

    class_: BuilderName = class_field
    """The name of the builder, written as `module:function`."""

    @model_validator(mode="after")
    def _settings_can_be_passed(self) -> "UserOptimizer":
        check_names(self.__pydantic_extra__, {"lr": "the run sets the base LR"})
        return self

    @property
    def cycled(self) -> str | None:
        return next((name for name in ("betas", "momentum") if name in self.__pydantic_extra__), None)

    def check_decay(self, name: str) -> None:
        if "weight_decay" not in self.__pydantic_extra__:
            raise ValueError(f"needs an optimizer with weight_decay, and {name} ({self.class_}) has no such setting")

    def of(self, weights: "Iterable[Tensor]", lr: float, without: Collection[int] = ()) -> "TorchOptimizer":
        """Call the user's builder, and return its optimizer.

        Raises:
            UserError: the builder cannot be imported, does not accept these settings, raises an exception, or does not
                return an optimizer.
        """
        import torch

        given = {"lr": lr, **self.arguments()}
        build = builder("optimizer", self.class_)
        check_settings("optimizer", self.class_, build, given, ("lr",))
        try:
            optimizer = build(groups(weights, without), **given)
        except Exception as error:  # the user's code may raise any exception
            raise UserError(f"optimizer {self.class_}: {told(error)}") from error
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise UserError(
                f"optimizer {self.class_}: returns {type(optimizer).__name__}; it must be a torch.optim.Optimizer"
            )
        return optimizer


def _validated(given: Any) -> Optimizer:
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, dict) and is_builder(given.get("class")):
        return UserOptimizer.model_validate(given)
    known: dict[str, type[Optimizer]] = {**classes(given), BUILDER: UserOptimizer}
    return validated_by_class(given, known)


AnyOptimizer = Annotated[SerializeAsAny[Optimizer], PlainValidator(_validated)]
"""An optimizer in params.yaml, where the key `class` names its class."""
