"""The answer: of fixed seeds, and what it is called."""

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


def test_the_leader_is_used_where_it_beats_the_baseline() -> None:
    found = answer(constant=0, step=2, rex=-1)
    assert (found.kind, found.leader.name, names(found)) == ("use", "step", ["step"])
    assert [group.name for group in found.not_needed] == ["constant", "rex"]
    assert not found.is_provisional
    assert found.runs == 3 * SEEDS


def test_of_those_that_are_good_enough_the_simplest_comes_first() -> None:
    """By the number of their settings: rex has one, cosine two, the chain has six."""
    found = answer(constant=0, chained=2.05, cosine=2, rex=2)
    assert found.kind == "use"
    assert names(found) == ["rex", "cosine", "chained"]


def test_where_all_are_alike_leader_and_baseline_are_the_same() -> None:
    found = answer(constant=0, step=0.05)
    assert found.kind in ("same", "baseline")
    assert "constant" in names(found)


def test_the_baseline_may_lead() -> None:
    found = answer(constant=2, step=0)
    assert (found.kind, found.leader.name, names(found)) == ("baseline", "constant", ["constant"])


def test_without_the_baseline_it_says_which_is_best() -> None:
    found = answer(step=2, rex=0)
    assert (found.kind, found.baseline, names(found)) == ("best", None, ["step"])


def test_few_seeds_leave_it_open_or_make_it_provisional() -> None:
    few = {name: row[:5] for name, row in figures(constant=0, step=0.3).items()}
    found = findings(groups_of(few)).answer
    assert found.is_provisional
    assert found.kind == "open"


def test_one_arm_has_nothing_to_be_compared_with() -> None:
    assert answer(step=0).kind == "nothing"


def test_a_baseline_has_the_same_optimizer() -> None:
    methods = [("constant", "sgd"), ("step", "sgd"), ("step", "adam"), ("constant", "adam"), ("step", "rmsprop")]
    asked = rules(methods, "constant", scale(TEST_ACCURACY, 0.5, 450))
    assert asked.baselines == (0, 0, 3, 3, None)
    assert asked.pairs == [(1, 0), (2, 3)]


def test_a_margin_is_in_points_of_an_accuracy_and_in_per_cent_of_a_loss() -> None:
    accuracy, loss = scale(TEST_ACCURACY, 0.5, 450), scale(TEST_LOSS, 10.0, 450)
    assert (accuracy.margin, accuracy.least) == pytest.approx((0.005, 1 / 450))
    assert (math.exp(-loss.margin), loss.least) == pytest.approx((0.9, 0))
