from typing import Any, Literal

import pytest
from pydantic import ValidationError

from pipeline.problems import summary
from pipeline.settings import Settings


class Inner(Settings):
    shape: Literal["linear", "1-sqrt"] = "linear"
    channels: Literal[1, 3] = 3
    count: int


class Outer(Settings):
    inner: list[Inner]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {"count": 1, "shape": "liner"},
            "at.inner.0.shape: unknown 'liner'; did you mean 'linear'? allowed: 1-sqrt, linear",
        ),
        ({"count": 1, "channels": 2}, "at.inner.0.channels: unknown 2; allowed: 1, 3"),
        ({}, "at.inner.0.count is missing"),
        ({"count": None}, "at.inner.0.count is empty: input should be a valid integer"),
        ({"count": "x"}, "at.inner.0.count: 'x': input should be a valid integer"),
        ({"count": 1, "cuont": 2}, "at.inner.0: unknown setting 'cuont'; did you mean 'count'? allowed: "),
        ({"count": "x", "channels": 2}, " (and 1 more)"),
        (None, "at.inner.0 is empty: must be a mapping"),
    ],
)
def test_a_problem_is_one_line_with_key_value_and_allowed_values(given: Any, says: str) -> None:
    with pytest.raises(ValidationError) as raised:
        Outer.model_validate({"inner": [given]})
    line = summary(raised.value, "at")
    assert says in line
    assert "\n" not in line
    assert summary(raised.value) == line.removeprefix("at.")
