from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from pipeline.optimizers.optimizers import OPTIMIZERS
from pipeline.optimizers.torch_optimizers import AnyOptimizer
from tests.helpers.project import load

PARAMS = load()


def built(settings: dict[str, Any], lr: float = 0.5) -> torch.optim.Optimizer:
    of = TypeAdapter(AnyOptimizer).validate_python(settings)
    return of.of([torch.nn.Parameter(torch.zeros(3))], lr)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_torchs_optimizer_of_the_same_name_gets_every_setting(name: str) -> None:
    settings = PARAMS.optimizers[name.lower()]
    optimizer = settings.of([torch.nn.Parameter(torch.zeros(3))], 0.5)
    assert type(optimizer) is getattr(torch.optim, name)
    resolved = {key: tuple(value) if key == "betas" else value for key, value in settings.resolve().items()}
    assert resolved.pop("class") == name
    assert optimizer.defaults | resolved | {"lr": 0.5} == optimizer.defaults


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_is_fused_if_torch_can(name: str) -> None:
    assert bool(built({"class": name}).defaults.get("fused")) == (name != "RMSprop")


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_defaults_are_torchs(name: str) -> None:
    torchs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(3))], lr=0.5).defaults
    ours = built({"class": name}).defaults
    for key in OPTIMIZERS[name].model_fields.keys() - {"class_"}:
        assert tuple(ours[key]) == torchs[key] if key == "betas" else ours[key] == torchs[key]
