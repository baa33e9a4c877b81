"""Models of torchvision, built for the data of a run."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.networks.torchvision_settings import PREFIX

COLOURS = 3
"""Channels that all of these models take."""


def build(
    input_shape: Sequence[int], outputs: int, name: str, small_pictures: bool = False, **arguments: Any
) -> nn.Module:
    """Build a classification model of torchvision with random weights.

    Its modules have torchvision's own names, so that torchvision loads the weights of a run, too. Pictures of one
    channel are given to it as red, green and blue alike. Inputs are in the channels-last format, in which most of the
    models are faster on a CPU. Auxiliary classifiers, which `googlenet` and `inception_v3` train with, are left out.

    Args:
        input_shape: channels, height and width.
        outputs: number of classes.
        name: as params.yaml has it.
        small_pictures: for a ResNet: a 3 x 3 stem of stride 1 instead of 7 x 7 of stride 2, and no max pooling.
        arguments: of torchvision's builder.

    Raises:
        UserError: the pictures have neither one channel nor three.
    """
    from torchvision import models

    if input_shape[0] not in (1, COLOURS):
        raise UserError(f"model {name} takes pictures of 1 or 3 channels, not {input_shape[0]}")
    model = name.removeprefix(PREFIX)
    plain = {"aux_logits": False, "init_weights": True} if model in ("googlenet", "inception_v3") else {}
    network: nn.Module = models.get_model(model, weights=None, num_classes=outputs, **plain | arguments)
    if small_pictures:
        _small_stem(network)
    network.register_forward_pre_hook(_as_it_takes_them)
    return network


def check(name: str, small_pictures: bool = False, **arguments: Any) -> None:
    """Build a model without memory for its weights, to see whether torchvision takes the arguments.

    Raises:
        Exception: whatever torchvision raises; nothing where such a model needs the memory, as RegNets do.
    """
    try:
        with torch.device("meta"):
            build((COLOURS,), 2, name, small_pictures, **arguments)
    except NotImplementedError:
        return


def head(network: nn.Module) -> str:
    """Return the name of the layer with an output for each class: the last one with weights."""
    names: list[str] = [name for name, each in network.named_modules() if isinstance(each, nn.Linear | nn.Conv2d)]
    return names[-1]


def _small_stem(network: nn.Module) -> None:
    before = network.conv1
    assert isinstance(before, nn.Conv2d)
    network.conv1 = nn.Conv2d(before.in_channels, before.out_channels, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")  # as torchvision's ResNets
    network.maxpool = nn.Identity()


def _as_it_takes_them(_: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
    """Return pictures as three channels, in the channels-last format; a hook before `forward`."""
    (x,) = given
    if x.shape[1] == 1:
        x = x.expand(-1, COLOURS, -1, -1)
    return (x.contiguous(memory_format=torch.channels_last),)
