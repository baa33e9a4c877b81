import datetime
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.networks import REGISTRY, AnyModel, UserModel

ADAPTER: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)


def test_a_builder_is_a_user_model_with_any_arguments() -> None:
    given = {"name": "my_package.networks:build", "width": 7, "deep": {"a": [1, None]}}
    model = ADAPTER.validate_python(given)
    assert isinstance(model, UserModel)
    assert model.model_dump() == given
    assert model.model_dump(exclude={"name"}) == {"width": 7, "deep": {"a": [1, None]}}
    assert ADAPTER.validate_python("my_package.networks:build") == UserModel(name="my_package.networks:build")


@pytest.mark.parametrize("name", [":", "a:", ":b", "a b:c", "a:b:c", "1a:b", "a.:b"])
def test_a_name_that_is_no_builder_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a builder; write it as "):
        ADAPTER.validate_python(name)


def test_a_builders_arguments_must_be_json() -> None:
    with pytest.raises(ValidationError, match="not a valid JSON value"):
        ADAPTER.validate_python({"name": "a:b", "when": datetime.date(2020, 1, 1)})


@pytest.mark.parametrize("given", ["mlpp", {"name": 3}, {"name": ["mlp"]}])
def test_an_unknown_name_is_refused_with_the_known_ones(given: Any) -> None:
    with pytest.raises(ValidationError, match=f"allowed: {', '.join(sorted(REGISTRY))}, my"):
        ADAPTER.validate_python(given)


def test_the_depth_of_a_cifar_resnet_is_6n_plus_2() -> None:
    for depth in (8, 20, 32, 44, 56, 110, 1202):
        assert ADAPTER.validate_python({"name": "cifar-resnet", "depth": depth}).model_dump()["depth"] == depth
    for depth, nearest in ((21, "20 and 26"), (25, "20 and 26"), (2, "8"), (-4, "8")):
        with pytest.raises(ValidationError, match=rf"{depth} is not 6n \+ 2 layers; nearest: {nearest};"):
            ADAPTER.validate_python({"name": "cifar-resnet", "depth": depth})
