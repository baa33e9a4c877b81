import json
import math
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from pipeline.errors import UserError
from pipeline.schedules import build as schedules
from tests.conftest import SCHEDULERS, load
from tests.schedules import closed_forms

LR = 0.15
WITHOUT_PLATEAU = [name for name in SCHEDULERS if name != "plateau"]
SETTING = "schedulers__{}__{}"


def resolved(name: str, epochs: int, batches: int, lr: float = LR, **settings: Any) -> dict[str, Any]:
    """The settings of a scheduler of params.yaml, some changed, for a run of that length."""
    changes = {f"schedulers__{name}__{key}": value for key, value in settings.items()}
    params = load(
        scheduler=name, lr=lr, **{"tasks__digits-mlp__epochs": epochs, "tasks__digits-mlp__batch_size": 1}, **changes
    )
    schedule: dict[str, Any] = params.runs(examples=batches)[0].schedule
    return schedule


def rates(name: str, epochs: int, batches: int, lr: float = LR, **settings: Any) -> list[float]:
    return schedules.curve(resolved(name, epochs, batches, lr, **settings), lr, epochs, batches)


def optimizer(momentum: float = 0.9) -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=LR, momentum=momentum)


def test_there_are_the_22_schedulers_of_the_design() -> None:
    torchs = "lambda multiplicative step multistep constant-factor linear exponential polynomial cosine chained"
    torchs += " sequential plateau cyclic onecycle cosine-restarts"
    ours = "warmup-cosine wsd wsd-sqrt linear-to-zero inverse-sqrt rex"
    assert sorted(SCHEDULERS) == sorted(["constant", *torchs.split(), *ours.split()])


def test_every_class_of_torch_is_there() -> None:
    base = {"LRScheduler"}
    used = {each.class_ for each in load().schedulers.values()}
    assert set(lr_scheduler.__all__) - base <= used


@pytest.mark.parametrize(("epochs", "batches"), [(40, 34), (50, 7), (10, 3), (7, 2), (3, 5), (2, 1), (1, 4), (1, 1)])
@pytest.mark.parametrize("name", WITHOUT_PLATEAU)
def test_every_step_has_the_rate_of_the_closed_form(name: str, epochs: int, batches: int) -> None:
    rate = closed_forms.RATE[name]
    if name in closed_forms.PER_BATCH:
        expected = [rate(step, epochs * batches, LR) for step in range(epochs * batches)]
    else:
        expected = [rate(step // batches, epochs, LR) for step in range(epochs * batches)]
    assert rates(name, epochs, batches) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", [name for name in WITHOUT_PLATEAU if name not in closed_forms.PER_BATCH])
def test_interval_batch_is_the_same_curve_in_finer_steps(name: str) -> None:
    expected = [closed_forms.RATE[name](step, 40 * 5, LR) for step in range(40 * 5)]
    assert rates(name, 40, 5, interval="batch") == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("epochs", [1, 10, 40])
def test_plateau_follows_the_validation_loss(epochs: int) -> None:
    losses = [abs(math.sin(3 * epoch)) + 0.1 for epoch in range(epochs)]
    settings = resolved("plateau", epochs, 1)
    scheduler = schedules.build(settings, optimizer())
    found = []
    for loss in losses:
        found.append(scheduler.get_last_lr()[0])
        schedules.end_of_epoch(scheduler, settings, loss)
    assert found == pytest.approx(closed_forms.plateau(losses, epochs, LR), rel=1e-9)
    assert epochs == 1 or len(set(found)) > 1


def test_a_horizon_in_epochs_counts_batches_where_the_scheduler_is_stepped_per_batch() -> None:
    assert resolved("cosine", 40, 34, T_max=30)["T_max"] == 30
    assert resolved("cosine", 40, 34, T_max=30, interval="batch")["T_max"] == 30 * 34
    assert resolved("wsd", 10, 34, warmup="5%")["warmup"] == 1  # half an epoch, rounded up
    assert resolved("wsd", 10, 34, warmup="5%", interval="batch")["warmup"] == 17


# Facts that bite


def test_constant_is_not_torchs_constant_lr() -> None:
    assert set(rates("constant", 10, 2)) == {LR}
    torchs = lr_scheduler.ConstantLR(optimizer())
    assert torchs.get_last_lr()[0] == pytest.approx(LR / 3)


@pytest.mark.parametrize("name", ["cyclic", "onecycle"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_momentum_is_left_alone(name: str, momentum: float) -> None:
    used = optimizer(momentum)
    scheduler = schedules.build(resolved(name, 5, 4), used)
    for _ in range(20):
        assert used.param_groups[0]["momentum"] == momentum
        used.step()
        scheduler.step()


def test_momentum_cycles_where_it_is_asked_for() -> None:
    used = optimizer()
    schedules.build(resolved("onecycle", 5, 4, cycle_momentum=True), used)
    assert used.param_groups[0]["momentum"] == 0.95


@pytest.mark.parametrize("name", ["cyclic", "onecycle"])
def test_the_peak_is_the_base_rate_unless_it_is_set(name: str) -> None:
    assert max(rates(name, 10, 10, lr=0.02)) == pytest.approx(0.02)
    assert max(rates(name, 10, 10, lr=0.02, max_lr=0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize(("epochs", "batches", "pct_start"), [(1, 10, 0.1), (2, 5, 0.1), (5, 1, 0.2), (4, 1, 0.25)])
def test_onecycle_does_not_divide_by_zero(epochs: int, batches: int, pct_start: float) -> None:
    found = rates("onecycle", epochs, batches, pct_start=pct_start)
    with pytest.raises(ZeroDivisionError):
        lr_scheduler.OneCycleLR(optimizer(), LR, total_steps=epochs * batches, pct_start=pct_start)
    assert found[0] == pytest.approx(LR / 25)
    assert found[1:] == sorted(found[1:], reverse=True)


def test_onecycle_must_last_the_whole_run() -> None:
    with pytest.raises(UserError, match="total_steps 50% ends before the run of 10 epochs"):
        rates("onecycle", 10, 10, total_steps="50%")
    assert len(rates("onecycle", 10, 10, total_steps="150%")) == 100


def test_cosine_rises_again_after_t_max() -> None:
    found = rates("cosine", 201, 1, T_max=100)
    assert found[100] == pytest.approx(1e-6)
    assert found[200] == pytest.approx(LR)


def test_cosine_after_a_warm_up_needs_what_is_left_of_the_run() -> None:
    wrong = {
        "milestones": ["10%"],
        "schedulers": [
            {"class": "LinearLR", "start_factor": 0.1, "total_iters": "10%"},
            {"class": "CosineAnnealingLR", "T_max": "100%", "eta_min": 1e-6},
        ],
    }
    assert rates("sequential", 50, 1, **wrong)[-1] > 5 * rates("warmup-cosine", 50, 1)[-1]


def test_warm_restarts_never_reach_eta_min() -> None:
    assert min(rates("cosine-restarts", 40, 1, eta_min=0.001)) > 0.001


def test_the_order_of_a_chain_with_a_restart_matters() -> None:
    restart = {"class": "CosineAnnealingWarmRestarts", "T_0": 5}
    decay = {"class": "ExponentialLR", "gamma": 0.9}
    first, second = (rates("chained", 20, 1, schedulers=order) for order in ([restart, decay], [decay, restart]))
    assert first != pytest.approx(second)


@pytest.mark.parametrize("name", ["sequential", "chained"])
def test_a_composition_refuses_plateau(name: str) -> None:
    parts = [{"class": "ReduceLROnPlateau", "patience": 1}, {"class": "ExponentialLR", "gamma": 0.9}]
    with pytest.raises(UserError, match=rf"schedulers\.{name}\.schedulers\.0\.class: unknown 'ReduceLROnPlateau'"):
        rates(name, 20, 1, schedulers=parts)


@pytest.mark.parametrize("stop", [1, 13, 40, 79])
@pytest.mark.parametrize("name", SCHEDULERS)
def test_state_dicts_restore_a_schedule_exactly(name: str, stop: int) -> None:
    """At an epoch's end and between, with plain values that need no pickle."""
    epochs, batches = 20, 4
    settings = resolved(name, epochs, batches)

    def trained(steps: range, used: torch.optim.SGD, scheduler: Any) -> list[float]:
        found = []
        for step in steps:
            found.append(scheduler.get_last_lr()[0])
            used.step()
            if schedules.steps_per_batch(settings):
                scheduler.step()
            if step % batches == batches - 1:
                schedules.end_of_epoch(scheduler, settings, val_loss=1.0)
        return found

    used = optimizer()
    scheduler = schedules.build(settings, used)
    trained(range(stop), used, scheduler)
    saved = json.dumps([used.state_dict()["param_groups"], scheduler.state_dict()], default=dict)
    rest = trained(range(stop, epochs * batches), used, scheduler)

    groups, state = json.loads(saved)
    resumed = optimizer()
    scheduler = schedules.build(settings, resumed)
    if "milestones" in state:  # a Counter, whose keys JSON turns to text
        state["milestones"] = type(scheduler.milestones)({int(key): n for key, n in state["milestones"].items()})  # type: ignore[union-attr]
    resumed.load_state_dict({"state": {}, "param_groups": groups})
    scheduler.load_state_dict(state)
    assert trained(range(stop, epochs * batches), resumed, scheduler) == rest


@pytest.mark.parametrize("name", SCHEDULERS)
def test_every_scheduler_has_a_formula_and_a_source(name: str) -> None:
    formula, source = schedules.about(load().schedulers[name].class_)
    assert formula
    assert source or name == "constant"
