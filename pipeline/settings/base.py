"""What all settings have in common: how they are checked, and the kinds of number in them."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)

from pipeline.errors import did_you_mean

type_ = Field(alias="class")


class Settings(BaseModel):
    """Settings under one key of params.yaml: typed, immutable, and closed to unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, given: Any) -> Any:
        if isinstance(given, dict) and cls.model_config["extra"] == "forbid":
            known = {field.alias or name for name, field in cls.model_fields.items()}
            for key in given:
                if key not in known:
                    raise ValueError(f"unknown setting {key!r}; {did_you_mean(key, known)}")
        return given


@dataclass(frozen=True)
class Horizon:
    """A length of training: a whole number of epochs, or a percentage of the run.

    A percentage serves every budget; it is rounded half up to whole steps of the scheduler, and to ``least``
    at the least. A number of epochs is taken as it is.
    """

    amount: float
    percent: bool
    least: int

    def steps(self, epochs: int, steps_per_epoch: int) -> int:
        """The length in steps of a scheduler that is stepped ``steps_per_epoch`` times in each of ``epochs``."""
        if self.percent:
            return max(self.least, math.floor(self.amount / 100 * epochs * steps_per_epoch + 0.5))
        return int(self.amount) * steps_per_epoch

    def written(self) -> int | str:
        """As the file has it."""
        return f"{self.amount:g}%" if self.percent else int(self.amount)

    def __str__(self) -> str:
        return str(self.written())


def horizon(least: int, most_percent: int) -> PlainValidator:
    """A pydantic validator for a `Horizon` of at least ``least`` epochs and at most ``most_percent`` of the run."""
    allowed = f"a whole number of epochs from {least}, or a percentage up to {most_percent}% such as '30%'"

    def parse(given: Any) -> Horizon:
        if isinstance(given, Horizon):
            return given
        try:
            if isinstance(given, str) and given.endswith("%"):
                parsed = Horizon(float(given[:-1]), True, least)
                fits = (parsed.amount > 0 or least == parsed.amount == 0) and parsed.amount <= most_percent
            else:
                parsed = Horizon(given, False, least)
                fits = type(given) is int and least <= given <= 10**9
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"{given!r} is not {allowed}")
        return parsed

    return PlainValidator(parse)


as_written = PlainSerializer(Horizon.written)
Within = Annotated[Horizon, horizon(1, 100), as_written]
"""A horizon that makes sense inside the run only, such as a milestone."""
Beyond = Annotated[Horizon, horizon(1, 1000), as_written]
"""A horizon that may lie beyond the end of the run: a schedule made for a longer run, stopped early."""
FromZero = Annotated[Horizon, horizon(0, 100), as_written]
"""A horizon that may be nothing."""

Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Portion = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
Resolved = dict[str, Any]
"""Plain numbers, texts and lists of them, as JSON would hold them."""


def by_name(given: Any) -> Any:
    """Take a name alone for the settings that have that name and no other."""
    return {"name": given} if isinstance(given, str) else given
