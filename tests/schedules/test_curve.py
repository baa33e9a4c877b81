import re
from typing import Any

import pytest

from pipeline.errors import UserError
from pipeline.schedules import REGISTRY, curve, top
from tests.schedules import closed_forms
from tests.schedules.common import LR, WITHOUT_PLATEAU, rates, run


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
def test_interval_batch_gives_the_same_curve_in_finer_steps(name: str) -> None:
    expected = [closed_forms.RATE[name](step, 40 * 5, LR) for step in range(40 * 5)]
    assert rates(name, 40, 5, interval="batch") == pytest.approx(expected, rel=1e-9)


def test_the_curve_of_plateau_assumes_a_constant_loss() -> None:
    schedule = run("plateau", 20).schedule
    assert curve(schedule, LR, 20, 1) == pytest.approx(closed_forms.plateau([1.0] * 20, 20, LR))


@pytest.mark.parametrize("name", WITHOUT_PLATEAU)
def test_a_curve_is_proportional_to_the_base_rate(name: str) -> None:
    """The tolerance is needed because the lowest rate of a cosine does not depend on the base rate."""
    once, ten_times = rates(name, 20, 3, lr=0.1), rates(name, 20, 3, lr=1.0)
    assert ten_times == pytest.approx([10 * rate for rate in once], abs=2e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"class": "ExponentialLR", "gamma": 1e200}, "ExponentialLR: the LR is 1e+199 in epoch 2; allowed: up to 1e"),
        ({"class": "MultiplicativeLR", "lr_lambda": "1e300"}, "MultiplicativeLR: the LR is 1e+299 in epoch 2"),
        ({"class": "MultiStepLR", "milestones": [1], "gamma": 1e32}, "MultiStepLR: the LR is 1e+31 in epoch 2"),
        ({"class": "MultiStepLR", "milestones": ["49%", "50%"], "gamma": 1e200}, "MultiStepLR: the LR grows without"),
        (
            {"class": "CyclicLR", "step_size_up": "50%", "mode": "exp_range", "gamma": 1e200},
            "CyclicLR: the LR grows without end; allowed: up to 1e+30",
        ),
    ],
)
def test_a_rate_that_grows_without_bound_is_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=re.escape(says)):
        curve(REGISTRY[settings["class"]].model_validate(settings), 0.1, 4, 2)


def test_the_top_of_an_axis_of_rates_is_positive() -> None:
    assert top([0.1, 0.3, 0.2]) == 0.3
    assert top([0.0, 0.0]) == top([5e-324]) == 1.0
