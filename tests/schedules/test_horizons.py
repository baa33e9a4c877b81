from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.schedules.horizons import Beyond, FromZero, Horizon, Within, check_order


def parsed(kind: Any, written: Any) -> Horizon:
    found: Horizon = TypeAdapter(kind).validate_python(written)
    return found


@pytest.mark.parametrize(
    ("written", "epochs", "expected"),
    [("100%", 30, 30), ("35%", 40, 14), ("50%", 5, 3), ("1%", 10, 1), ("12.5%", 40, 5), (7, 40, 7), ("300%", 5, 15)],
)
def test_a_percentage_is_of_the_run_and_rounded_half_up(written: int | str, epochs: int, expected: int) -> None:
    assert parsed(Beyond, written).steps(epochs, 1, "epoch") == expected


@pytest.mark.parametrize(("written", "expected"), [("50%", 85), ("1%", 2), (3, 51)])
def test_lengths_in_batches(written: int | str, expected: int) -> None:
    assert parsed(Within, written).steps(10, 17, "batch") == expected


def test_optimizer_steps_are_kept_if_the_scheduler_is_stepped_per_batch() -> None:
    assert parsed(Within, "100 steps").steps(10, 17, "batch") == 100
    assert parsed(Within, "1 step").steps(10, 17, "batch") == 1
    assert parsed(FromZero, "0 steps").steps(10, 17, "batch") == 0


def test_optimizer_steps_must_be_whole_epochs_if_the_scheduler_is_stepped_per_epoch() -> None:
    assert parsed(Within, "51 steps").steps(10, 17, "epoch") == 3
    for wrong in ("50 steps", "1 step"):
        with pytest.raises(ValueError, match=rf"^{wrong} is not a whole number of epochs of 17 batches$"):
            parsed(Within, wrong).steps(10, 17, "epoch")


def test_only_a_length_that_may_be_zero_is_rounded_to_zero() -> None:
    assert parsed(FromZero, "1%").steps(10, 1, "epoch") == 0
    assert parsed(Within, "1%").steps(10, 1, "epoch") == 1


@pytest.mark.parametrize(
    "written", [1, 40, "35%", "12.5%", "33.333333333333336%", "0.0001%", "100%", "9 steps", "1 step"]
)
def test_a_length_keeps_its_notation(written: int | str) -> None:
    assert parsed(Within, written).written() == written
    assert str(parsed(Within, written)) == str(written)


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *[(Within, each) for each in (0, -1, "0%", "101%", 1.0, True, None, "5", "%", "nan%", "inf%", [1], 10**10)],
        *[(Within, each) for each in ("0 steps", "-1 steps", "1.5 steps", "9steps", "steps", f"{10**9 + 1} steps")],
        *[(Beyond, each) for each in (0, "0%", "1001%")],
        *[(FromZero, each) for each in (-1, "-1%", "101%")],
    ],
)
def test_an_invalid_length_is_refused(kind: Any, wrong: Any) -> None:
    with pytest.raises(ValidationError, match="is not a whole number of epochs from"):
        parsed(kind, wrong)


def test_milestones_must_rise_but_percentages_may_round_to_the_same_step() -> None:
    def check(*written: int | str) -> None:
        milestones = [parsed(Within, each) for each in written]
        check_order(milestones, [each.steps(2, 1, "epoch") for each in milestones])

    check(1, 2)
    check("1 step", "2 steps")
    check("30%", "60%")  # both are rounded to the first of two epochs
    wrongs: list[tuple[int | str, int | str]] = [
        (2, 1),
        (1, 1),
        ("60%", "30%"),
        ("50%", "50%"),
        (1, "50%"),
        ("2 steps", 2),
    ]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="milestones are out of order"):
            check(*wrong)
