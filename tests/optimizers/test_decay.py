"""`no_decay` exempts some weights from weight decay."""

from typing import Any

import pytest
import torch
from torch import nn

from pipeline.optimizers.base import exempt, groups
from tests.helpers.project import load
from tests.schedules.common import schedule


class LN(nn.LayerNorm):
    """A normalisation layer that is recognised by its base class."""


class RootMeanSquareNorm(nn.Module):
    """A normalisation layer that is recognised by its name, and whose gain is not called `weight`."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.table = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4, 4))


def network() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(4, 4), nn.BatchNorm1d(4), LN(4), RootMeanSquareNorm(), nn.PReLU()]
    return nn.Sequential(*layers, nn.LSTM(4, 4), nn.MultiheadAttention(4, 1), nn.Linear(4, 2, bias=False))


BIASES = {"0.bias", "1.bias", "2.bias", "5.bias_ih_l0", "5.bias_hh_l0", "6.in_proj_bias", "6.out_proj.bias"}
NORMS = {"1.weight", "1.bias", "2.weight", "2.bias", "3.gain"}


@pytest.mark.parametrize(
    ("kinds", "names"), [((), set()), (("bias",), BIASES), (("norm",), NORMS), (("bias", "norm"), BIASES | NORMS)]
)
def test_which_weights_are_exempt(kinds: tuple[str, ...], names: set[str]) -> None:
    of = network()
    found = exempt(of, kinds)
    assert {name for name, weight in of.named_parameters() if id(weight) in found} == names


def test_no_group_is_empty() -> None:
    weights = [torch.zeros(1), torch.zeros(2)]
    assert groups(weights, ()) is not weights
    assert all(one is other for one, other in zip(groups(weights, ()), weights, strict=True))
    (only,) = groups(weights, {id(each) for each in weights})
    assert isinstance(only, dict)
    assert only["weight_decay"] == 0


MUON = {"class": "Muon", "weight_decay": 0.5, "rest": {"class": "AdamW", "weight_decay": 0.5, "lr": 0.003}}


@pytest.mark.parametrize(
    ("settings", "rates"), [({"class": "AdamW", "weight_decay": 0.5}, [0.1, 0.1]), (MUON, [0.1, 0.003, 0.003])]
)
def test_exempt_weights_do_not_decay_and_follow_the_schedule(settings: dict[str, Any], rates: list[float]) -> None:
    """If gradients are zero, only decay changes weights. Momentum is cycled in all groups."""
    of = nn.Sequential(*[nn.Linear(4, 4) for _ in range(3)], nn.LayerNorm(4))
    optimizer = load(optimizers__mine=settings).optimizers["mine"].build(of, 0.1, ["bias", "norm"])
    assert [group["lr"] for group in optimizer.param_groups] == rates
    scheduler = schedule("onecycle", cycle_momentum=settings is not MUON).build(optimizer, 2, 4)
    peaks = [group["max_lr"] for group in optimizer.param_groups]
    assert peaks == pytest.approx(rates)
    assert peaks[-1] == peaks[-2]  # equal bits, because exempt weights have the same rate as other weights
    before = {name: weight.detach().clone() for name, weight in of.named_parameters()}
    for weight in of.parameters():
        weight.grad = torch.zeros_like(weight)
    for _ in range(3):
        optimizer.step()
        scheduler.step()
    kept = {name for name, weight in of.named_parameters() if torch.equal(weight, before[name])}
    assert kept == {"0.bias", "1.bias", "2.bias", "3.weight", "3.bias"}
    if settings is not MUON:
        betas = {tuple(group["betas"]) for group in optimizer.param_groups}
        assert len(betas) == 1
        assert betas != {(0.9, 0.999)}
