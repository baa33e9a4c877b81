"""Optimizers for which this project has a class of settings."""

import pytest
import torch
from pydantic import TypeAdapter

from pipeline.optimizers import REGISTRY, AnyOptimizer
from tests.helpers.project import load

PARAMS = load()
TORCHS = [name for name in REGISTRY if hasattr(torch.optim, name)]


def built(name: str, lr: float = 0.5) -> torch.optim.Optimizer:
    settings = {"class": name} | ({"rest": {"class": "SGD"}} if name == "Muon" else {})
    chosen: AnyOptimizer = TypeAdapter(AnyOptimizer).validate_python(settings)
    return chosen.of([torch.nn.Parameter(torch.zeros(3, 3))], lr)


@pytest.mark.parametrize("name", [name for name, each in PARAMS.optimizers.items() if each.class_ in TORCHS])
def test_torchs_optimizer_of_the_same_name_gets_every_setting(name: str) -> None:
    settings = PARAMS.optimizers[name]
    optimizer = settings.of([torch.nn.Parameter(torch.zeros(3, 3))], 0.5)
    resolved = {key: tuple(value) if key == "betas" else value for key, value in settings.resolve().items()}
    assert resolved.pop("class") == settings.class_
    assert type(optimizer) is getattr(torch.optim, settings.class_)
    assert optimizer.defaults | resolved | {"lr": 0.5} == optimizer.defaults


@pytest.mark.parametrize("name", TORCHS)
def test_an_optimizer_is_fused_if_torch_can(name: str) -> None:
    assert bool(built(name).defaults.get("fused")) == (name not in ("RMSprop", "Muon"))


@pytest.mark.parametrize("name", TORCHS)
def test_defaults_are_torchs(name: str) -> None:
    torchs = getattr(torch.optim, name)([torch.nn.Parameter(torch.zeros(3, 3))], lr=0.5).defaults
    ours = built(name).defaults
    for key in REGISTRY[name].model_fields.keys() - {"class_", "rest"}:
        assert tuple(ours[key]) == torchs[key] if key == "betas" else ours[key] == torchs[key]
