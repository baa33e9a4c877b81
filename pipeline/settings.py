"""The base class of all settings (a strict and immutable pydantic model), and types that several settings share."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from pipeline.errors import did_you_mean

Rate = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Factor = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Portion = Annotated[float, Field(ge=0, le=1)]
Momentum = Annotated[float, Field(ge=0, lt=1)]
UserPath = Annotated[str, Field(min_length=1)]
"""The path of a user's file or folder, absolute or relative to the project's root."""
ExampleKind = Literal["image", "text", "number", "tokens"]
"""The kind of a data set's examples. A network accepts examples of one or several kinds."""
Resolved = dict[str, Any]
"""Settings as plain values that JSON can hold, such as numbers, strings and lists."""
class_field = Field(alias="class")
"""A field that is called `class` in params.yaml."""


class Settings(BaseModel):
    """The settings under one key of params.yaml. The values are typed and immutable, and unknown names are errors."""

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


_S = TypeVar("_S", bound=Settings)


def validated_by_class(given: Any, classes: Mapping[str, type[_S]], key: str = "class") -> _S:
    """Validate settings with the class that they name under ``key``, and return them as an object of that class.

    Call this function in a Pydantic validator. The keys in its errors are relative to the settings, and Pydantic adds
    the path to the settings.

    Raises:
        ValidationError: the class is missing or not one of ``classes``, or the settings do not fit the class.
    """
    if not isinstance(given, dict):
        raise PydanticCustomError("mapping", f"must be a mapping with a {key} and its settings")
    name = given.get(key)
    if name is None:
        raise error_at(key, given, "missing")
    if not isinstance(name, str) or name not in classes:
        raise error_at(key, name, "value_error", f"unknown {name!r}; {did_you_mean(name, classes)}")
    return classes[name].model_validate(given)


def validated_by_name(given: Any, classes: Mapping[str, type[_S]]) -> _S:
    """Validate settings with the class that they name under `name`, and return them as an object of that class.

    ``given`` can also be just the name.

    Raises:
        ValidationError: the name is missing, or the settings do not fit the class.
        ValueError: the name is not one of ``classes``.
    """
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, dict):
        raise PydanticCustomError("mapping", "must be a name, or a mapping with a name and its settings")
    name = given.get("name")
    if name is None:
        raise error_at("name", given, "missing")
    if not isinstance(name, str) or name not in classes:
        raise ValueError(f"unknown {name!r}; {did_you_mean(name, classes)}")
    return classes[name].model_validate(given)


def error_at(key: str, given: Any, kind: str, message: str = "") -> ValidationError:
    """Return a validation error for ``key``; ``kind`` is pydantic's error type, `missing` or `value_error`."""
    details = InitErrorDetails(type=kind, loc=(key,), input=given)
    if message:
        details["ctx"] = {"error": ValueError(message)}
    return ValidationError.from_exception_data(key, [details])
