"""Of recorded steps what a CPU can show: rates that lie on the device, and which optimizers are recorded."""

from typing import Any

import pytest
import torch
from pipeline.training.step import Step

from pipeline.datasets import Summary
from pipeline.training.graphs import Rates, _is_recordable, step_of
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet
from tests.training.fitting import CPU, OPTIMIZERS, Splits, runs


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW"])
def test_a_rate_on_the_device_is_the_rate_of_the_scheduler(kind: str) -> None:
    """A fused step computes the same with it, to rounding; the scheduler finds its own number again."""
    weights = {}
    for on_device in (False, True):
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.rand(5, 7))
        optimizer = getattr(torch.optim, kind)([weight], lr=0.1, fused=True)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
        rates = Rates([optimizer] if on_device else [], CPU)
        seen = []
        for _ in range(20):
            weight.grad = (weight.detach() - 0.5) * 2
            rates.send()
            with rates.on_device():
                assert isinstance(optimizer.param_groups[0]["lr"], torch.Tensor) == on_device
                optimizer.step()
            seen.append(optimizer.param_groups[0]["lr"])
            scheduler.step()
        assert all(isinstance(rate, float) for rate in seen)
        assert len(set(seen)) == 20
        weights[on_device] = weight.detach()
    assert torch.allclose(weights[False], weights[True], rtol=1e-5)


def test_rates_come_back_even_from_a_step_that_fails() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.rand(1))], lr=0.25)
    rates = Rates([optimizer], CPU)
    with pytest.raises(RuntimeError, match="no"), rates.on_device():
        raise RuntimeError("no")
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_only_where_it_is_recorded_an_optimizer_is_told_so() -> None:
    weight = torch.nn.Parameter(torch.rand(1))
    adam, sgd = torch.optim.Adam([weight], lr=0.1, fused=True), torch.optim.SGD([weight], lr=0.1)
    with Rates([adam, sgd], CPU).recordable():
        assert adam.param_groups[0]["capturable"]
    assert not adam.param_groups[0]["capturable"]
    assert "capturable" not in sgd.param_groups[0]


@pytest.mark.parametrize(
    ("scheduler", "optimizer", "changes", "expected"),
    [
        ("cosine", "SGD", {}, True),
        ("cosine", "AdamW", {}, True),
        ("onecycle", "SGD", {}, True),
        ("onecycle", "SGD", {"schedulers__onecycle__cycle_momentum": True}, False),
        ("schedule-free", "SGD", {}, False),
        ("cosine", "NAdam", {}, False),
        ("cosine", "Muon", {}, False),
    ],
)
def test_which_optimizers_are_recorded(
    scheduler: str, optimizer: str, changes: dict[str, Any], expected: bool, summary: Summary
) -> None:
    own = {"optimizers__mine": OPTIMIZERS[optimizer], "optimizer": "mine", "lr": 0.01}
    (run,) = runs(scheduler=scheduler, seeds=1, **own, **changes)
    assert _is_recordable(Training(run, summary, CPU)) == expected


def test_nothing_is_recorded_on_a_cpu(summary: Summary, few: Splits) -> None:
    (run,) = runs(scheduler="cosine", seeds=1)
    assert type(step_of([Training(run, summary, CPU)], TrainingSet(few[0], summary, run.workload, CPU))) is Step
