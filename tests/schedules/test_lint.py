from typing import Any

import pytest

from pipeline.runs.params import Params
from pipeline.schedules import curve
from pipeline.schedules.lint import warnings
from tests.helpers.project import SCHEDULERS, load

BATCHES = 4
TASKS = list(load().tasks)
WARM_UP = {"class": "LinearLR", "start_factor": 0.1, "total_iters": "10%"}
COSINE = "CosineAnnealingLR"


def found(params: Params) -> dict[str, list[str]]:
    """Return the warnings about a sweep, keyed by group; groups without warnings are left out."""
    lines = {}
    task = params.run_task
    for run in params.runs(task.train_subset or BATCHES * task.batch_size):
        rates = curve(run.schedule, run.lr, run.epochs, BATCHES)
        lines[run.group] = warnings(run.schedule, run.lr, run.epochs, rates)
    return {group: of_group for group, of_group in lines.items() if of_group}


def told(name: str, epochs: int = 40, **settings: Any) -> list[str]:
    """Return the warnings about a scheduler in params.yaml after changing some of its settings."""
    changes = {f"schedulers__{name}__{key}": value for key, value in settings.items()}
    lines = found(load(scheduler=name, seeds=1, **{"tasks__digits-mlp__epochs": epochs}, **changes)).get(name, [])
    assert all(line.endswith(" is usual") and "\n" not in line for line in lines)
    return lines


# Schedulers as in params.yaml


@pytest.mark.parametrize("task", TASKS)
def test_the_only_warning_is_about_the_published_cosine_that_swings_ten_times(task: str) -> None:
    expected = {}
    if task == "square-mlp":
        line = "T_max is 200 epochs, shorter than the run of 2000: the LR is lowest after 200 epochs (0) and "
        expected = {"cosine": [line + "rises again to 0.0009999 at the end; T_max: 100% is usual"]}
    assert found(load(task=task, seeds=1)) == expected


@pytest.mark.parametrize("epochs", [2, 3, 4, 5, 7, 10])
def test_percentages_of_a_short_run_cause_no_warning(epochs: int) -> None:
    assert found(load(seeds=1, **{"tasks__digits-mlp__epochs": epochs})) == {}


def test_stepping_per_batch_causes_no_warning() -> None:
    names = [name for name in SCHEDULERS if name not in ("constant", "plateau")]
    assert found(load(scheduler=names, seeds=1, **{f"schedulers__{name}__interval": "batch" for name in names})) == {}


def test_plateau_causes_no_warning() -> None:
    assert told("plateau", patience=50, factor=1e-300) == []


# Likely mistakes


@pytest.mark.parametrize("interval", ["epoch", "batch"])
def test_cosine_that_rises_again(interval: str) -> None:
    end = {"epoch": "0.1491", "batch": "0.1499"}[interval]
    assert told("cosine", interval=interval, T_max=20) == [
        "T_max is 20 epochs, shorter than the run of 40: the LR is lowest after 20 epochs (1e-06) and rises again "
        f"to {end} at the end; T_max: 100% is usual"
    ]
    assert told("cosine", interval=interval, T_max="50%") == told("cosine", interval=interval, T_max=20)


def test_lengths_in_optimizer_steps_are_checked_like_others() -> None:
    assert told("cosine", T_max="80 steps") == told("cosine", T_max=20)
    assert told("cosine", T_max="80 steps", interval="batch") == told("cosine", T_max=20, interval="batch")
    assert told("cosine", T_max="160 steps") == []
    assert told("multistep", milestones=["40 steps", "200 steps"]) == told("multistep", milestones=[10, 50])


def test_cosine_may_reach_its_floor_in_the_last_epoch_unless_the_floor_is_0() -> None:
    assert told("cosine", T_max=39) == []
    assert told("cosine", T_max=39, eta_min=0.0) == [
        "T_max is 39 epochs, shorter than the run of 40: the LR is 0 for 1 epoch, from epoch 40 on; "
        "T_max: 100% is usual"
    ]


@pytest.mark.parametrize("cycles", [2, 3, 4, 5])
def test_any_number_of_swings_that_does_not_end_at_the_lowest_rate(cycles: int) -> None:
    lines = told("cosine", epochs=60, T_max=60 // cycles, eta_min=0.0)
    assert len(lines) == 1
    assert f"the LR is lowest after {60 // cycles} epochs (0) and rises again" in lines[0]
    assert told("cosine", epochs=61, T_max=20, eta_min=1e-6) == []  # three half-periods, so it ends at eta_min


@pytest.mark.parametrize(
    ("name", "setting", "end"),
    [
        ("cosine", "T_max", "0.07794"),
        ("linear", "total_iters", "0.08419"),
        ("polynomial", "total_iters", "0.08219"),
        ("rex", "total_iters", "0.1017"),
        ("onecycle", "total_steps", "0.1218"),
    ],
)
def test_a_horizon_beyond_the_run(name: str, setting: str, end: str) -> None:
    line = f"{setting} is 80 epochs, longer than the run of 40: the run ends before the decay does, at an LR of {end}"
    assert told(name, **{setting: 80}) == [f"{line}; {setting}: 100% is usual"]


def test_a_line_that_ends_early() -> None:
    assert told("linear", total_iters=30) == [
        "total_iters is 30 epochs, shorter than the run of 40: the LR stays at 0.015 from then on; "
        "total_iters: 100% is usual"
    ]
    assert told("linear", total_iters=39) == []


@pytest.mark.parametrize(("name", "settings"), [("polynomial", {}), ("rex", {}), ("linear", {"end_factor": 0.0})])
@pytest.mark.parametrize("interval", ["epoch", "batch"])
def test_a_rate_of_0_to_the_end(name: str, settings: dict[str, Any], interval: str) -> None:
    assert told(name, interval=interval, total_iters=25, **settings) == [
        "total_iters is 25 epochs, shorter than the run of 40: the LR is 0 for 15 epochs, from epoch 26 on; "
        "total_iters: 100% is usual"
    ]


def test_curves_of_an_expression() -> None:
    assert told("lambda", lr_lambda="max(0, 1 - 2 * step / steps)") == [
        "the LR is 0 for 20 epochs, from epoch 21 on, and nothing is learnt; an LR above 0 throughout is usual"
    ]
    assert told("lambda", lr_lambda="0.5 + 0.4 * cos(pi * epoch / 20)") == [
        "the LR is lowest after 20 epochs (0.015) and rises again to 0.1343 at the end; "
        "the lowest LR at the end is usual"
    ]


@pytest.mark.parametrize(
    ("name", "settings", "end"),
    [
        ("constant-factor", {"total_iters": 40}, "0.05"),
        ("linear", {"start_factor": 0.5, "end_factor": 1.0, "total_iters": 40}, "0.1481"),
        ("inverse-sqrt", {"warmup": 40}, "0.15"),
    ],
)
def test_a_warm_up_as_long_as_the_run(name: str, settings: dict[str, Any], end: str) -> None:
    setting = [*settings][-1]
    start, usual = f"the whole run is warm-up, and the LR ends at {end}", f"{setting}: 10% is usual"
    assert told(name, **settings) == [f"{setting} is 40 epochs, as long as the run of 40: {start}; {usual}"]
    assert told(name, **settings | {setting: 39}) == []
    assert f"{setting} is 41 epochs, longer than the run of 40" in told(name, **settings | {setting: 41})[0]


@pytest.mark.parametrize(
    ("name", "settings", "outcome"),
    [
        ("step", {"step_size": 40}, "the LR never changes"),
        ("cosine-restarts", {"T_0": 40}, "there is no restart"),
        ("cyclic", {"step_size_up": 40}, "the LR never comes down"),
    ],
)
def test_a_length_beyond_the_end(name: str, settings: dict[str, int], outcome: str) -> None:
    (setting,) = settings
    line = f"{setting} is 40 epochs, as long as the run of 40: {outcome}; a fraction of the run is usual"
    assert told(name, **settings) == [line]
    assert told(name, **{setting: 39}) == []


def test_a_milestone_after_the_end() -> None:
    line = "a milestone comes after 50 epochs, which the run of 40 never reaches; one before the end is usual"
    assert told("multistep", milestones=[20, 50]) == [line]
    assert told("multistep", milestones=[20, 30]) == []
    assert told("sequential", milestones=[50]) == [line]


# Rises by design


@pytest.mark.parametrize("settings", [{"T_0": 15}, {"T_0": 3, "T_mult": 2}, {"T_0": 20, "eta_min": 0.0}])
def test_restarts_rise_by_design(settings: dict[str, Any]) -> None:
    assert told("cosine-restarts", **settings) == []


@pytest.mark.parametrize("settings", [{"step_size_up": 7}, {"step_size_up": 5, "step_size_down": 9}])
def test_cycles_rise_by_design(settings: dict[str, Any]) -> None:
    assert told("cyclic", **settings) == []


@pytest.mark.parametrize("factor", [0.01, 0.4, 0.6, 0.99])
def test_a_warm_up_rises_by_design(factor: float) -> None:
    assert told("constant-factor", factor=factor) == []
    assert told("linear", start_factor=factor, end_factor=1.0, total_iters="10%") == []
    for end_factor in (0.01, 0.8):
        parts = [
            {"class": "ConstantLR", "factor": factor, "total_iters": "10%"},
            {"class": "ExponentialLR", "end_factor": end_factor},
        ]
        assert told("chained", schedulers=parts) == []


# Parts


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({"class": COSINE, "T_max": "90%", "eta_min": 1e-6}, None),
        (
            {"class": COSINE, "T_max": "100%", "eta_min": 1e-6},
            "T_max of CosineAnnealingLR is 40 epochs, longer than the last 36 epochs of the run: "
            "the run ends before the decay does, at an LR of 0.00571; T_max: 90% is usual",
        ),
        (
            {"class": COSINE, "T_max": "50%", "eta_min": 1e-6},
            "T_max of CosineAnnealingLR is 20 epochs, shorter than the last 36 epochs of the run: "
            "the LR is lowest after 24 epochs (1e-06) and rises again to 0.128 at the end; T_max: 90% is usual",
        ),
        (
            {"class": "PolynomialLR", "total_iters": "50%"},
            "total_iters of PolynomialLR is 20 epochs, shorter than the last 36 epochs of the run: "
            "the LR is 0 for 16 epochs, from epoch 25 on; total_iters: 90% is usual",
        ),
        ({"class": "LinearLR", "start_factor": 1.0, "end_factor": 0.1, "total_iters": "50%"}, None),
        ({"class": "ConstantLR", "factor": 0.1, "total_iters": "100%"}, None),
    ],
)
def test_the_part_that_a_sequence_ends_with(part: dict[str, Any], line: str | None) -> None:
    assert told("sequential", milestones=["10%"], schedulers=[WARM_UP, part]) == ([] if line is None else [line])


def test_the_parts_of_a_chain() -> None:
    assert told("chained", schedulers=[WARM_UP, {"class": COSINE, "T_max": "100%"}]) == []
    assert told("chained", schedulers=[WARM_UP, {"class": COSINE, "T_max": "50%"}]) == [
        "T_max of CosineAnnealingLR is 20 epochs, shorter than the run of 40: the LR is lowest after 20 epochs (0) "
        "and rises again to 0.1491 at the end; T_max: 100% is usual"
    ]
    lines = told("chained", schedulers=[WARM_UP | {"total_iters": "100%"}, {"class": COSINE, "T_max": "100%"}])
    assert len(lines) == 1
    assert lines[0].startswith("total_iters of LinearLR is 40 epochs, as long as the run of 40: the whole run")
