from typing import Any

import pytest
import schedulefree
import torch

from pipeline.errors import UserError
from pipeline.schedules.schedule_free import ScheduleFree
from tests.helpers.project import SCHEDULERS, load
from tests.schedules.common import rates


def fitted(**changes: Any) -> tuple[ScheduleFree, torch.optim.Optimizer]:
    run = load(scheduler="schedule-free", seeds=1, lr=0.1, **changes).runs(100)[0]
    assert isinstance(run.schedule, ScheduleFree)
    return run.schedule, run.schedule.optimizer(run.workload.optimizer, torch.nn.Linear(1, 1), run.lr)


def test_momentum_of_sgd_becomes_beta_and_sets_lr_factor() -> None:
    schedule, optimizer = fitted(optimizers__sgd__weight_decay=0.01)
    assert (schedule.beta, schedule.lr_factor) == (0.9, 10)
    assert isinstance(optimizer, schedulefree.SGDScheduleFree)
    assert (optimizer.defaults["momentum"], optimizer.defaults["weight_decay"]) == (0.9, 0.01)
    schedule, _ = fitted(optimizers__sgd__momentum=0.5)
    assert (schedule.beta, schedule.lr_factor) == (0.5, 2)
    schedule, _ = fitted(optimizers__sgd__momentum=0.0)
    assert (schedule.beta, schedule.lr_factor) == (0.9, 1)
    own = {"schedulers__schedule-free__beta": 0.98, "schedulers__schedule-free__lr_factor": 3.0}
    schedule, optimizer = fitted(**own)
    assert (schedule.beta, schedule.lr_factor, optimizer.defaults["momentum"]) == (0.98, 3, 0.98)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_and_adamw_become_schedule_free_adamw(name: str) -> None:
    schedule, optimizer = fitted(optimizer=name, **{f"optimizers__{name}__betas": [0.8, 0.99]})
    assert (schedule.beta, schedule.lr_factor) == (0.8, 1)
    assert isinstance(optimizer, schedulefree.AdamWScheduleFree)
    assert optimizer.defaults["betas"] == (0.8, 0.99)
    assert optimizer.defaults["weight_decay"] == {"adam": 0.0, "adamw": 0.01}[name]


def test_without_a_warm_up_the_rate_is_constant() -> None:
    assert rates("schedule-free", 3, 4, lr=0.1, warmup=0) == pytest.approx([1.0] * 12)


def test_another_optimizer_is_one_line_and_all_skips_the_scheduler() -> None:
    line = "ScheduleFree needs an optimizer of class SGD or Adam or AdamW, and rmsprop is RMSprop"
    with pytest.raises(UserError, match=f"schedulers.schedule-free: {line}"):
        load(scheduler="schedule-free", optimizer="rmsprop")
    for optimizer in ("rmsprop", ["sgd", "rmsprop"]):
        chosen = load(scheduler="all", optimizer=optimizer).chosen_schedulers()
        assert chosen == [name for name in SCHEDULERS if name != "schedule-free"]
    assert load(scheduler="all", optimizer=["sgd", "adam"]).chosen_schedulers() == SCHEDULERS
