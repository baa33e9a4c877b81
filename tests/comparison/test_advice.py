import math

import pytest

from pipeline.comparison.advice import (
    AFFORDABLE,
    advice,
    base_lr_note,
    final_lr_note,
    next_step,
    notes,
    power_note,
    shared_seeds,
)
from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import Confound, questions
from pipeline.comparison.statistics import detectable, power
from tests.comparison.examples import BASE, NOISE, UPS, asked, groups_of, results, shifted


def test_what_looks_better_may_be_chance() -> None:
    question = asked(step=shifted(NOISE), wsd=shifted(NOISE, -1), constant=BASE)
    needed = question.comparisons[0].seeds_needed
    assert needed is not None
    assert needed > shared_seeds(question) == 5
    assert advice(question) == (
        "Stay with constant for now: step looks 0.58 points better, but that may be chance, and settling it would "
        f"take about {needed} seeds in total."
    )
    assert (f"-S seeds={needed}`" in next_step([question])) == (needed <= AFFORDABLE)


def test_a_difference_may_be_too_small_to_settle() -> None:
    tiny = [0.02, -0.02, 0.0101, -0.01, 0.0]
    assert advice(asked(step=shifted(tiny), constant=BASE)).endswith("and the difference is too small to settle.")


def test_nothing_is_ahead() -> None:
    assert advice(asked(wsd=shifted(NOISE, -1), constant=BASE)) == "Stay with constant: nothing looks better."


def test_the_power_note_says_what_the_sweep_detects() -> None:
    """The median of the deviations counts."""
    question = asked(step=shifted(NOISE), wsd=shifted(NOISE, 2), rex=shifted(NOISE, 3), constant=BASE)
    middle = sorted(each.test.deviation for each in question.comparisons)[1]
    smallest = middle * detectable(5, 3)
    assert power(smallest / middle, 5, 3) == pytest.approx(0.8)
    assert power_note(question) == (
        f"With 3 comparisons and 5 seeds, a true difference must be about {100 * smallest:.2f} points to be detected "
        "four times out of five. No scheduler can gain that much: constant is already at 92.00%. "
        "Not resolved does not mean equal."
    )
    of_one = power_note(asked(step=shifted(NOISE, 0.1), constant=BASE))
    assert of_one.startswith("With one comparison and 5 seeds")
    assert "already" not in of_one


def test_the_power_note_is_short_or_empty_where_something_is_resolved() -> None:
    some = power_note(asked(step=shifted(UPS), wsd=shifted(NOISE), constant=BASE))
    assert some.startswith("The differences called better or worse stand. Among the rest, a true difference below ")
    assert power_note(asked(step=shifted(UPS), constant=BASE)) == ""
    assert power_note(asked(step=[0.9], constant=[0.8])) == ""


def test_the_next_step_is_one_command() -> None:
    """The question that needs most seeds counts; hopeless ones do not, nor those with something better."""
    near = asked(step=shifted([0.021, -0.004, 0.02, 0.0, 0.018]), constant=BASE)
    far = asked(step=shifted([0.02, -0.02, 0.015, -0.013, 0.0]), constant=BASE)
    seeds = near.comparisons[0].seeds_needed
    assert seeds is not None
    assert seeds < AFFORDABLE
    assert (far.comparisons[0].seeds_needed or math.inf) > AFFORDABLE
    assert next_step([near, far]) == (
        f"To settle whether step is better than constant, run `uv run dvc exp run -S seeds={seeds}`. "
        "Finished runs are not trained again."
    )
    assert next_step([far]) == ""
    assert next_step([asked(step=shifted(UPS), wsd=shifted(NOISE), constant=BASE)]) == ""


def test_the_base_lr_may_decide() -> None:
    groups = groups_of({"step": BASE, "constant": BASE}, optimizer=["sgd", "adam"])
    assert base_lr_note(groups) == (
        "Check the base LR first: 0.15 may not be a good one, and another may change this answer. "
        "`uv run dvc exp run -S 'lr=[0.05,0.15,0.45]'` tries three and compares each scheduler at its own best."
    )
    assert base_lr_note(groups_of({"step": [0.9]}, lr=[0.1, 0.2])) == ""
    own_rate = {"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}
    different = grouped(results({"step": BASE, "constant": BASE, "rex": BASE}, **own_rate))
    assert base_lr_note(different) == (
        "Check the base LR first: it differs and may explain the result. step has 0.5, the others 0.15. "
        "`uv run dvc exp run -S 'lr=[0.15,0.5]'` trains every scheduler at each of them."
    )


@pytest.mark.parametrize(("rho", "p", "says"), [(-0.8, 0.001, "lower"), (0.8, 0.001, "higher")])
def test_the_final_rate_may_explain_the_result(rho: float, p: float, says: str) -> None:
    note = final_lr_note(Confound(rho, p))
    assert note.startswith(f"Schedules that end at a {says} rate do better here (rank correlation 0.80, p = 0.001): ")


def test_a_correlation_that_is_not_significant_is_not_mentioned() -> None:
    assert final_lr_note(Confound(-0.8, 0.2)) == ""
    assert final_lr_note(Confound(math.nan, math.nan)) == ""


def test_notes_leave_out_what_is_empty() -> None:
    groups = groups_of({"step": shifted(UPS), "constant": BASE})
    asked_of_all = questions(groups, "constant", "test_accuracy")
    assert notes(groups, asked_of_all, Confound(math.nan, math.nan)) == [base_lr_note(groups)]
