from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.datasets import AnyDataset
from pipeline.optimizers import AnyOptimizer
from pipeline.settings import NonNegative, Settings


class Small(Settings):
    size: NonNegative = 1.0


class Outer(Settings):
    optimizers: dict[str, AnyOptimizer]
    dataset: AnyDataset | None = None


def problem(kind: type[Settings], given: Any) -> tuple[tuple[int | str, ...], str]:
    with pytest.raises(ValidationError) as raised:
        kind.model_validate(given)
    (found,) = raised.value.errors()
    return found["loc"], found["msg"]


def test_settings_are_strict_closed_and_immutable() -> None:
    assert problem(Small, {"size": "1"}) == (("size",), "Input should be a valid number")
    assert problem(Small, {"size": float("nan")})[0] == ("size",)
    assert problem(Small, {"sise": 1})[1] == "Value error, unknown setting 'sise'; did you mean 'size'? allowed: size"
    with pytest.raises(ValidationError, match="frozen"):
        Small().size = 2.0  # type: ignore[misc]


def test_a_whole_number_is_a_number() -> None:
    assert Small.model_validate({"size": 2}).size == 2.0


@pytest.mark.parametrize(
    ("given", "location"),
    [
        ({"class": "SGD", "momentum": 2}, ("optimizers", "mine", "momentum")),
        ({"class": "SDG"}, ("optimizers", "mine", "class")),
        ({"momentum": 0.5}, ("optimizers", "mine", "class")),
        ({"class": "Adam", "betas": [0.9, 1]}, ("optimizers", "mine", "betas", 1)),
        (3, ("optimizers", "mine")),
    ],
)
def test_errors_of_a_class_have_the_keys_of_the_file(given: Any, location: tuple[int | str, ...]) -> None:
    assert problem(Outer, {"optimizers": {"mine": given}})[0] == location


@pytest.mark.parametrize(
    ("given", "location"),
    [
        ({"name": "imdb", "vocabulary_size": 0}, ("dataset", "vocabulary_size")),
        ("imbd", ("dataset",)),
        ({"vocabulary_size": 5}, ("dataset", "name")),
        ([], ("dataset",)),
    ],
)
def test_errors_of_a_name_have_the_keys_of_the_file(given: Any, location: tuple[int | str, ...]) -> None:
    assert problem(Outer, {"optimizers": {}, "dataset": given})[0] == location


def test_a_dump_has_all_settings_and_can_be_read_back() -> None:
    outer = Outer.model_validate({"optimizers": {"mine": {"class": "SGD", "momentum": 0.5}}, "dataset": "imdb"})
    dumped = outer.model_dump(mode="json", by_alias=True)
    assert dumped["optimizers"]["mine"]["momentum"] == 0.5
    assert dumped["dataset"] == {"name": "imdb", "vocabulary_size": 25_000, "vectors": None}
    assert Outer.model_validate(dumped) == outer
    assert Outer(optimizers=outer.optimizers, dataset=outer.dataset) == outer
