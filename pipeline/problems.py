"""One-line summaries of pydantic's validation errors, with the key, the value, and what is allowed."""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.errors import did_you_mean


def summary(error: ValidationError, where: str = "") -> str:
    """Return a line that describes the first problem in ``error`` and gives the number of further problems.

    Args:
        error: the validation error.
        where: the dotted key of the validated value, to put in front of the keys in the error.
    """
    problems = error.errors(include_url=False)
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return _line(where, problems[0]) + more


def _line(where: str, problem: Mapping[str, Any]) -> str:
    key = ".".join([where, *map(str, problem["loc"])] if where else map(str, problem["loc"]))
    given, context = problem["input"], problem.get("ctx", {})
    message = f"{problem['msg'][0].lower()}{problem['msg'][1:]}"
    if problem["type"] in ("dict_type", "model_type", "model_attributes_type"):
        message = "must be a mapping"
    match problem["type"]:
        case "missing":
            return f"{key} is missing"
        case "value_error" if given is not None:
            return f"{key}: {context['error']}"
        case "literal_error" if given is not None:
            allowed = [word.strip("'") for word in re.split(", | or ", context["expected"])]
            return f"{key}: unknown {given!r}; {did_you_mean(given, allowed)}"
    if given is None:
        return f"{key} is empty: {message.removeprefix('value error, ')}"
    return f"{key}: {given!r}: {message}"
