"""The settings of each optimizer: torch's arguments, by torch's names."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.settings.base import Momentum, NonNegative, Rate, Resolved, Settings, type_


class _Optimizer(Settings):
    """Torch's arguments, by torch's names; the learning rate is the run's."""

    class_: str = type_

    def resolve(self) -> Resolved:
        return {"class": self.class_} | self.model_dump(exclude={"class_"})


class SGD(_Optimizer):
    class_: Literal["SGD"] = type_
    momentum: Momentum = 0.0
    weight_decay: NonNegative = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SGD":
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: true needs a momentum above 0")
        return self


class _Adam(_Optimizer):
    betas: Annotated[list[Momentum], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    eps: Rate = 1e-8
    weight_decay: NonNegative = 0.0
    amsgrad: bool = False


class Adam(_Adam):
    class_: Literal["Adam"] = type_


class AdamW(_Adam):
    class_: Literal["AdamW"] = type_
    weight_decay: NonNegative = 0.01


class RMSprop(_Optimizer):
    class_: Literal["RMSprop"] = type_
    alpha: Momentum = 0.99
    eps: Rate = 1e-8
    momentum: Momentum = 0.0
    weight_decay: NonNegative = 0.0


AnyOptimizer = Annotated[SGD | Adam | AdamW | RMSprop, Field(discriminator="class_")]
