"""Torchvision's models in params.yaml: names and settings are checked before a model is built."""

from typing import Any

import pytest
from pydantic import TypeAdapter

from pipeline.errors import UserError
from pipeline.networks import AnyModel, TorchvisionModel
from pipeline.networks.torchvision_model import names
from pipeline.user_code import TORCHVISION as PREFIX
from pipeline.user_code import is_builder
from tests.helpers.project import load

ADAPTER: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)


def test_torchvisions_models_are_no_builders_of_the_user() -> None:
    model = ADAPTER.validate_python({"name": "torchvision:efficientnet_b0", "dropout": 0.3})
    assert isinstance(model, TorchvisionModel)
    plain = {"name": "torchvision:efficientnet_b0", "dropout": 0.3, "weights": None, "small_pictures": False}
    assert model.model_dump() == plain
    assert not is_builder(model.name)
    assert model.weights_file is None
    assert ADAPTER.validate_python({"name": "torchvision:vgg11", "weights": "a.pth"}).weights_file == "a.pth"
    assert ADAPTER.validate_python({"name": "mine:build", "weights": "a.pth"}).weights_file is None


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (
            "torchvision:resnet81",
            "model.name: unknown 'resnet81' of torchvision; did you mean 'resnet18'?",
        ),
        ("torchvision:", "model.name: unknown '' of torchvision; allowed: alexnet"),
        ("torchvision:fcn_resnet50", "model.name: unknown 'fcn_resnet50' of torchvision; did you mean"),
        (
            {"name": "torchvision:vgg11", "dropot": 0.1},
            "model: unknown setting 'dropot' of vgg11; did you mean",
        ),
        ({"name": "torchvision:mobilenet_v3_small", "dropot": 0.1}, "did you mean 'dropout'?"),  # accepts any argument
        ({"name": "torchvision:resnet18", "num_classes": 3}, "num_classes is not a setting: the data determine"),
        ({"name": "torchvision:googlenet", "aux_logits": True}, "aux_logits is not a setting: auxiliary classifiers"),
        ({"name": "torchvision:resnet18", "weights": ""}, "model.weights: '': string should have at least 1"),
        (
            {"name": "torchvision:resnet18", "small_pictures": 1},
            "model.small_pictures: 1: input should be a",
        ),
        (
            {"name": "torchvision:vgg11", "small_pictures": True},
            "small_pictures: no stem for small pictures is known for vgg11; allowed: resnet101, resnet152, resnet18",
        ),
    ],
)
def test_a_mistake_is_one_line(model: Any, says: str) -> None:
    with pytest.raises(UserError) as raised:
        load(**{"tasks__digits-mlp__model": model})
    assert says in str(raised.value)
    assert str(raised.value).startswith("params.yaml: tasks.digits-mlp.model")
    assert "\n" not in str(raised.value)


def test_loss_nll_refuses_models_that_return_logits() -> None:
    with pytest.raises(UserError, match="loss nll does not fit model torchvision:resnet18"):
        load(**{"tasks__digits-mlp__model": "torchvision:resnet18", "tasks__digits-mlp__loss": "nll"})


def test_every_model_of_torchvision_is_known() -> None:
    assert {"alexnet", "resnet18", "vit_b_16"} < set(names())
    for name in names():
        assert 1 <= TorchvisionModel(name=PREFIX + name).least_size[0] <= 518
    for name, setting in (("vit_b_16", "image_size"), ("maxvit_t", "input_size"), ("mobilenet_v3_small", "width_mult")):
        ADAPTER.validate_python({"name": PREFIX + name, setting: 64})
    for name in ("resnet50", "resnext50_32x4d", "wide_resnet50_2"):
        ADAPTER.validate_python({"name": PREFIX + name, "zero_init_residual": True, "small_pictures": True})
