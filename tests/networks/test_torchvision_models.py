"""Torchvision's models are built by torchvision itself, and fit the data of a run."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from pipeline.errors import UserError
from pipeline.networks import TorchvisionModel
from pipeline.networks.weights import head_name
from pipeline.training.building import build_network
from tests.helpers.project import load
from tests.networks.examples import facts


def build(input_shape: Sequence[int], classes: int, name: str, **settings: Any) -> nn.Module:
    return TorchvisionModel.model_validate({"name": name, **settings}).build(input_shape, classes)


META = torch.device("meta")
OF_EACH_KIND = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "mnasnet0_5"),
    *("maxvit_t", "mobilenet_v2", "mobilenet_v3_small", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_1"),
    *("swin_t", "vgg11_bn", "vit_b_32", "regnet_y_400mf"),
)


@pytest.mark.parametrize("name", OF_EACH_KIND)
def test_the_head_has_an_output_for_each_class(name: str) -> None:
    with torch.device("cpu" if name.startswith("regnet") else META):
        network = build((3, 299, 299), 7, f"torchvision:{name}")
    last = network.get_submodule(head_name(network))
    assert isinstance(last.weight, torch.Tensor)
    assert last.weight.shape[0] == 7
    widest = [weight.shape for weight in network.parameters() if weight.shape[0] == 7]
    assert len(widest) == len([*last.parameters()])  # only the head depends on the number of classes


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_are_left_out(name: str) -> None:
    with META:
        network = build((3, 299, 299), 7, f"torchvision:{name}").train()
        assert network(torch.empty(2, 3, 299, 299)).shape == (2, 7)


def test_weights_have_torchvisions_names() -> None:
    with META:
        ours, theirs = build((3, 32, 32), 10, "torchvision:resnet18"), models.resnet18(num_classes=10)
    assert [(name, each.shape) for name, each in ours.state_dict().items()] == [
        (name, each.shape) for name, each in theirs.state_dict().items()
    ]


def test_outputs_equal_torchvisions_and_grey_becomes_three_equal_channels() -> None:
    torch.manual_seed(0)
    ours = build((1, 40, 40), 3, "torchvision:squeezenet1_1").eval()
    theirs = models.squeezenet1_1(num_classes=3).eval()
    theirs.load_state_dict(ours.state_dict())
    grey = torch.rand(2, 1, 40, 40)
    colours = torch.cat([grey, grey, grey], dim=1)
    assert torch.allclose(ours(grey), theirs(colours), atol=1e-6)
    assert torch.equal(ours(grey), ours(colours))
    with pytest.raises(UserError, match="takes pictures of 1 or 3 channels, not 2"):
        build((2, 40, 40), 3, "torchvision:squeezenet1_1")


def test_the_stem_for_small_pictures_keeps_their_size() -> None:
    seen: list[tuple[int, ...]] = []
    with META:
        network = build((3, 32, 32), 10, "torchvision:resnet18", small_pictures=True)
        network.get_submodule("layer1").register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
        network(torch.empty(2, 3, 32, 32))
    assert seen == [(2, 64, 32, 32)]
    stem = network.get_submodule("conv1")
    assert isinstance(stem, nn.Conv2d)
    assert (stem.kernel_size, stem.stride, stem.padding, stem.bias) == ((3, 3), (1, 1), (1, 1), None)
    assert sum(weight.numel() for weight in network.parameters()) == 11_173_962  # the usual ResNet-18 for CIFAR


def test_settings_reach_the_builder() -> None:
    model = {"name": "torchvision:alexnet", "dropout": 0.25}
    (run,) = load(scheduler="constant", seeds=1, **{"tasks__digits-mlp__model": model}).runs()
    with META:
        network = build_network(run.workload, facts((3, 64, 64), 5))
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == [0.25, 0.25]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"name": "torchvision:alexnet", "dropout": 2.0}, "ValueError: dropout probability has to be between 0 and 1"),
        ({"name": "torchvision:alexnet", "dropout": "much"}, "model torchvision:alexnet: TypeError"),
        ({"name": "torchvision:resnext50_32x4d", "groups": 8}, "ValueError: The parameter 'groups' expected value 32"),
    ],
)
def test_a_value_that_torchvision_refuses_is_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says) as raised:
        TorchvisionModel.model_validate(settings).check()
    assert "\n" not in str(raised.value)
    TorchvisionModel.model_validate({"name": "torchvision:regnet_y_128gf"}).check()  # building it would take 2.5 GB
