"""The race: which arms are trained in each round, and when the race ends."""

import math
from typing import Any

import numpy as np
import pytest

from pipeline.comparison.anytime import FIRST, Evidence, FloatArray
from pipeline.comparison.standing import Rules
from pipeline.sweep.rounds import BATCH, Round, decide, first_round, most_seeds, outcome, replay


def drawn(*means: float, seeds: int = 300, noise: float = 1.0, chance: int = 0) -> FloatArray:
    random = np.random.default_rng(chance)
    return np.array(means)[:, None] + noise * (random.normal(size=(len(means), seeds)) + random.normal(size=seeds))


def rules(arms: int, margin: float = 0.5) -> Rules:
    return Rules((0,) * arms, margin)


def raced(figures: FloatArray, budget: int = 600, margin: float = 0.5) -> list[Round]:
    return list(replay(figures, rules(len(figures), margin), budget))


def told(now: Round) -> tuple[Any, ...]:
    """Return everything that a round decides, so that two rounds can be compared."""
    standing = now.standing
    return now.held, now.trained, now.target, now.end, standing.in_set.tolist(), standing.baseline.better.tolist()


def test_each_arm_starts_with_ten_seeds() -> None:
    first, *_ = raced(drawn(0, 0, 0))
    assert first.standing.seeds.tolist() == [FIRST] * 3
    assert first_round(22, 600) == 10
    assert first_round(22, 100) == 4
    assert first_round(1, 600) == 10


@pytest.mark.parametrize("budget", [31, 60, 100, 333])
@pytest.mark.parametrize("chance", range(3))
def test_the_budget_is_never_exceeded(budget: int, chance: int) -> None:
    rounds = raced(drawn(0, 0, 0, chance=chance), budget, margin=0.01)
    assert all(sum(now.held) <= budget for now in rounds)
    assert rounds[-1].end == "budget"
    assert budget - int(rounds[-1].standing.seeds.sum()) < 3 * BATCH
    assert rounds[-1].held == rounds[-1].standing.seeds.tolist()
    assert [now.end for now in rounds[:-1]] == [None] * (len(rounds) - 1)


@pytest.mark.parametrize("chance", range(5))
def test_a_larger_budget_continues_a_smaller_one(chance: int) -> None:
    figures = drawn(0.0, 0.3, 0.1, -0.5, chance=chance)
    small, large = raced(figures, 80, margin=0.1), raced(figures, 300, margin=0.1)
    assert len(large) > len(small)
    assert [told(now) for now in small[:-1]] == [told(now) for now in large[: len(small) - 1]]
    assert small[-1].standing.seeds.tolist() == large[len(small) - 1].standing.seeds.tolist()


@pytest.mark.parametrize("chance", range(5))
@pytest.mark.parametrize("budget", [30, 300])
def test_figures_of_later_seeds_do_not_matter(chance: int, budget: int) -> None:
    """A race that knows only the figures of trained runs makes the same decisions as a replay with all figures."""
    figures = drawn(0.0, 0.4, 0.1, -0.5, chance=chance)
    held = [first_round(4, budget)] * 4
    steps = []
    while True:
        trained = figures[:, : max(held)].copy()
        for arm, seeds in enumerate(held):
            trained[arm, seeds:] = math.nan
        now = decide(Evidence(trained), held, rules(4, 0.2), budget)
        steps.append(told(now))
        if now.end is not None:
            break
        held = now.held
    assert steps == [told(now) for now in raced(figures, budget, 0.2)]


def test_a_clear_difference_is_answered_after_the_first_round() -> None:
    rounds = raced(drawn(0, 5, 1))
    assert len(rounds) == 1
    assert rounds[0].end == "answered"
    assert rounds[0].trained == ()
    assert rounds[0].standing.leader == 1


def test_two_arms_are_trained_together_and_the_race_is_short() -> None:
    rounds = raced(drawn(0, 0.9), margin=0.1)
    for now in rounds[:-1]:
        assert now.trained == (0, 1)
        assert now.target == max(now.standing.seeds) + BATCH // 2
    assert rounds[-1].end == "answered"
    assert rounds[-1].standing.seeds.sum() <= 100


def test_a_single_arm_needs_no_race() -> None:
    (only,) = raced(drawn(0))
    assert only.end == "answered"
    assert only.held == [FIRST]


def test_only_arms_that_can_change_the_answer_are_trained() -> None:
    """The hopeless arm drops out after ten seeds; the leader continues with the arms that may be better."""
    rounds = raced(drawn(0.0, 0.0, -9.0, 0.1), margin=0.2)
    assert len(rounds) > 2
    for now in rounds[:-1]:
        assert 2 not in now.trained
        assert now.standing.leader in now.trained
        for arm in now.trained:
            needed = arm in (now.standing.leader, 0) or now.standing.over_leader[arm] > 0.2
            assert needed
            assert now.held[arm] == now.target
    assert rounds[-1].standing.seeds[2] == FIRST


def test_an_arm_that_lags_catches_up() -> None:
    """An arm that was left out for a while is trained until it has as many seeds as the other arms."""
    seen = 0
    for chance in range(20):
        for now in raced(drawn(0.0, 0.5, 0.2, 0.4, 0.3, noise=0.7, chance=chance), 500, margin=0.3)[:-1]:
            behind = [arm for arm in now.trained if now.standing.seeds[arm] < max(now.standing.seeds)]
            assert all(now.held[arm] == now.target for arm in behind)
            seen += len(behind)
    assert seen > 0


def test_the_baseline_is_trained_until_its_comparison_is_settled() -> None:
    """The leader is far ahead of all arms except the baseline, so only its comparison with the baseline is open."""
    figures = drawn(0.0, 0.0, -9.0, -9.0)
    figures[1] = figures[0] + 0.3 + np.random.default_rng(9).normal(size=300)
    for now in raced(figures, margin=0.05)[:-1]:
        assert 0 in now.trained or now.standing.is_baseline_settled


def test_a_small_budget_is_one_round_of_few_seeds() -> None:
    (only,) = raced(drawn(0, 0, 0, 0), budget=30)
    assert only.standing.seeds.tolist() == [7] * 4
    assert only.end == "budget"


def test_the_outcome_is_the_standing_of_the_last_round() -> None:
    figures = drawn(0, 0.5, 0.2)
    last = raced(figures, 200)[-1].standing
    found = outcome(figures, rules(3), 200)
    assert found.seeds.tolist() == last.seeds.tolist()
    assert found.bound.tolist() == last.bound.tolist()


def test_the_most_seeds_of_one_arm() -> None:
    assert most_seeds(22, 600) == 390
    assert most_seeds(22, 100) == 100 - 21 * 4
    assert most_seeds(1, 600) == 600
