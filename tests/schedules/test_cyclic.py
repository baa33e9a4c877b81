import pytest
from torch.optim import lr_scheduler

from pipeline.errors import UserError
from tests.schedules.common import LR, optimizer, rates, schedule


@pytest.mark.parametrize("name", ["cyclic", "onecycle"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_momentum_is_not_cycled_by_default(name: str, momentum: float) -> None:
    used = optimizer(momentum)
    scheduler = schedule(name).build(used, 5, 4)
    for _ in range(20):
        assert used.param_groups[0]["momentum"] == momentum
        used.step()
        scheduler.step()


def test_momentum_cycles_if_set() -> None:
    used = optimizer()
    schedule("onecycle", cycle_momentum=True).build(used, 5, 4)
    assert used.param_groups[0]["momentum"] == 0.95


@pytest.mark.parametrize("name", ["cyclic", "onecycle"])
def test_the_peak_is_the_base_rate_unless_set(name: str) -> None:
    assert max(rates(name, 10, 10, lr=0.02)) == pytest.approx(0.02)
    assert max(rates(name, 10, 10, lr=0.02, max_lr=0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize(("epochs", "batches", "pct_start"), [(1, 10, 0.1), (2, 5, 0.1), (5, 1, 0.2), (4, 1, 0.25)])
def test_onecycle_does_not_divide_by_zero(epochs: int, batches: int, pct_start: float) -> None:
    found = rates("onecycle", epochs, batches, pct_start=pct_start)
    with pytest.raises(ZeroDivisionError):
        lr_scheduler.OneCycleLR(optimizer(), LR, total_steps=epochs * batches, pct_start=pct_start)
    assert found[0] == pytest.approx(LR / 25)
    assert found[1:] == sorted(found[1:], reverse=True)


def test_onecycle_must_not_end_before_the_run() -> None:
    with pytest.raises(UserError, match="total_steps 50% is shorter than the run of 10 epochs"):
        rates("onecycle", 10, 10, total_steps="50%")
    assert len(rates("onecycle", 10, 10, total_steps="150%")) == 100


def test_warm_restarts_never_reach_eta_min() -> None:
    assert min(rates("cosine-restarts", 40, eta_min=0.001)) > 0.001
