from typing import Any

import pytest

from pipeline.errors import UserError
from tests.helpers.project import load
from tests.schedules.common import resolved


def test_a_horizon_becomes_a_decay_per_optimizer_step() -> None:
    for interval in ("epoch", "batch"):
        changes = {"average": {"kind": "ema", "horizon": "10%"}, "interval": interval}
        assert resolved("cosine", 40, 5, **changes)["average"] == {"kind": "ema", "decay": 1 - 1 / 20}
    assert resolved("cosine", 40, 5, average={"kind": "ema", "horizon": 2})["average"]["decay"] == 0.9
    assert resolved("cosine", 40, 5, average={"kind": "ema", "decay": 0.5})["average"]["decay"] == 0.5


def test_an_equal_average_starts_after_whole_epochs() -> None:
    assert resolved("cosine", 12, 5, average={"kind": "swa"})["average"] == {"kind": "swa", "start": 9}
    assert resolved("cosine", 12, 5, average={"kind": "swa", "start": 5})["average"]["start"] == 5
    assert resolved("cosine", 1, 5, average={"kind": "swa"})["average"]["start"] == 1


def test_a_schedule_without_an_average_has_no_such_setting() -> None:
    assert set(resolved("cosine", 12)) == {"class", "interval", "T_max", "eta_min"}
    for average in (None, {"kind": "swa"}):
        (run,) = load(scheduler="cosine", seeds=1, schedulers__cosine__average=average).runs(100)
        found = {key for key in run.flat() if "average" in key}
        assert found == ({"scheduler.average.kind", "scheduler.average.start"} if average else set())


PART = [{"class": "ConstantLR", "total_iters": 1, "average": {"kind": "ema"}}, {"class": "ExponentialLR"}]


@pytest.mark.parametrize(
    ("scheduler", "settings", "line"),
    [
        ("cosine", {"average": "ema"}, "average: 'ema': must be a mapping with a kind and its settings"),
        ("cosine", {"average": {"decay": 0.9}}, "average.kind is missing"),
        ("cosine", {"average": {"kind": "emma"}}, "average.kind: unknown 'emma'; did you mean 'ema'?"),
        ("cosine", {"average": {"kind": "ema", "deca": 1}}, "unknown setting 'deca'; did you mean 'decay'?"),
        ("cosine", {"average": {"kind": "ema", "decay": 1.0}}, "average.decay: 1.0: input should be less than 1"),
        ("cosine", {"average": {"kind": "ema", "horizon": 0}}, "average.horizon: 0 is not a whole number of epochs"),
        ("cosine", {"average": {"kind": "swa", "start": 50}}, "start 50 comes after the run of 40 epochs"),
        ("chained", {"schedulers": PART}, "schedulers.0.average: belongs to the whole schedule, not to a part of it"),
        ("swa", {"average": {"kind": "ema"}}, "SWA averages the weights itself; leave `average` out"),
        ("schedule-free", {"average": {"kind": "ema"}}, "ScheduleFree averages the weights itself"),
        ("schedule-free", {"beta": 0.0}, "beta: 0.0: input should be greater than 0"),
        ("swa", {"anneal": 0}, "anneal: 0 is not a whole number of epochs from 1"),
    ],
)
def test_a_mistake_is_one_line(scheduler: str, settings: dict[str, Any], line: str) -> None:
    changes = {f"schedulers__{scheduler}__{key}": value for key, value in settings.items()}
    with pytest.raises(UserError) as error:
        load(scheduler=scheduler, **changes)
    assert line in str(error.value)
    assert "\n" not in str(error.value)
