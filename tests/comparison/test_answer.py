"""The answer of a sweep with fixed seeds, and the kind of answer."""

import math

import pytest

from pipeline.comparison.answer import Answer, rules, scale
from pipeline.runs.metric import TEST_ACCURACY, TEST_LOSS
from tests.comparison.examples import findings, groups_of
from tests.comparison.noisy import SEEDS, figures


def answer(**means: float) -> Answer:
    return findings(groups_of(figures(**means))).answer


def names(found: Answer) -> list[str]:
    return [group.name for group in found.good_enough]


def test_a_leader_that_beats_the_baseline_is_recommended() -> None:
    found = answer(constant=0, step=2, rex=-1)
    assert (found.kind, found.leader.name, names(found)) == ("use", "step", ["step"])
    assert [group.name for group in found.not_needed] == ["constant", "rex"]
    assert not found.is_provisional
    assert found.runs == 3 * SEEDS


def test_good_enough_schedulers_are_in_order_of_simplicity() -> None:
    """The scheduler with the fewest settings is the simplest: rex has one, cosine two, and chained six."""
    found = answer(constant=0, chained=2.05, cosine=2, rex=2)
    assert found.kind == "use"
    assert names(found) == ["rex", "cosine", "chained"]


def test_equal_schedulers_leave_the_baseline_good_enough() -> None:
    found = answer(constant=0, step=0.05)
    assert found.kind in ("same", "baseline")
    assert "constant" in names(found)


def test_the_baseline_may_lead() -> None:
    found = answer(constant=2, step=0)
    assert (found.kind, found.leader.name, names(found)) == ("baseline", "constant", ["constant"])


def test_without_the_baseline_the_answer_names_the_best() -> None:
    found = answer(step=2, rex=0)
    assert (found.kind, found.baseline, names(found)) == ("best", None, ["step"])


def test_with_few_seeds_the_answer_is_open_and_provisional() -> None:
    few = {name: row[:5] for name, row in figures(constant=0, step=0.3).items()}
    found = findings(groups_of(few)).answer
    assert found.is_provisional
    assert found.kind == "open"


def test_a_single_arm_has_no_comparison() -> None:
    assert answer(step=0).kind == "nothing"


def test_a_baseline_has_the_same_optimizer() -> None:
    methods = [("constant", "sgd"), ("step", "sgd"), ("step", "adam"), ("constant", "adam"), ("step", "rmsprop")]
    asked = rules(methods, "constant", scale(TEST_ACCURACY, 0.5, 450))
    assert asked.baselines == (0, 0, 3, 3, None)
    assert asked.pairs == [(1, 0), (2, 3)]


def test_a_margin_is_points_of_an_accuracy_or_per_cent_of_a_loss() -> None:
    accuracy, loss = scale(TEST_ACCURACY, 0.5, 450), scale(TEST_LOSS, 10.0, 450)
    assert (accuracy.margin, accuracy.least) == pytest.approx((0.005, 1 / 450))
    assert (math.exp(-loss.margin), loss.least) == pytest.approx((0.9, 0))
