"""The standing of arms: the set of the best arms, how far each may be from the best, and verdicts against baselines."""

import math

import numpy as np
import pytest

from pipeline.comparison.anytime import Evidence, FloatArray, critical
from pipeline.comparison.standing import ERROR, Rules, Standing, stand
from pipeline.comparison.statistics import holm


def figures(*gains: float, seeds: int = 20, noise: float = 0.1) -> FloatArray:
    """Return a row of figures for each gain, which is the row's exact mean; the rows share half of a seed's noise."""
    random = np.random.default_rng(0)
    noises = noise * (random.normal(size=(len(gains), seeds)) + random.normal(size=seeds))
    return np.asarray(np.array(gains)[:, None] + noises - noises.mean(1, keepdims=True))


def said(of: FloatArray, margin: float = 0.05, baselines: tuple[int | None, ...] | None = None) -> Standing:
    rules = Rules(baselines or (0,) * len(of), margin)
    return stand(Evidence(of), [of.shape[1]] * len(of), rules)


def test_worse_arms_are_out_and_the_best_leads() -> None:
    found = said(figures(0.0, 0.5, 0.02, 1.0))
    assert found.in_set.tolist() == [False, False, False, True]
    assert found.leader == 3
    assert found.baseline.better.tolist() == [0, 1, 0, 1]
    assert found.bound[3] == 0
    assert np.isinf(found.bound[:3]).all()
    assert found.is_answered


def test_the_bound_is_the_largest_possible_lead_of_another_arm_of_the_set() -> None:
    of = figures(0.0, 0.0, 0.02, -1.0)
    found = said(of)
    assert found.in_set.tolist() == [True, True, True, False]
    upper = Evidence(of).upper(np.full(4, 20), ERROR / 3)
    for arm in range(3):
        assert found.bound[arm] == pytest.approx(max(upper[other, arm] for other in range(3)))
    assert found.over_leader == pytest.approx(upper[:, found.leader])


def test_arms_outside_the_set_are_in_no_bound() -> None:
    """With only ten seeds, the first arm may lead the noisy last arm by far, but it loses to the second arm."""
    random = np.random.default_rng(0)
    of = np.array([0.0, 0.5, 0.4])[:, None] + np.array([0.02, 0.02, 1.0])[:, None] * random.normal(size=(3, 60))
    of[0, 10:] = math.nan
    found = stand(Evidence(of), [10, 60, 60], Rules((0, 0, 0), 0.05))
    assert found.in_set.tolist() == [False, True, True]
    upper = Evidence(of).upper(np.array([10, 60, 60]), ERROR / 2)
    assert upper[0, 2] > upper[1, 2] > 0
    assert found.bound[2] == upper[1, 2]


def test_an_arm_is_good_enough_if_its_bound_is_within_the_margin() -> None:
    of = figures(0.0, 0.0, noise=0.01)
    narrow = said(of, margin=1e-4)
    assert not narrow.is_good_enough(narrow.leader)
    assert not narrow.is_answered
    assert not said(of, margin=float(narrow.bound.min()) - 1e-9).is_answered
    wide = said(of, margin=float(max(narrow.bound.max(), narrow.baseline.high[1])) + 1e-9)
    assert wide.is_good_enough(0)
    assert wide.is_good_enough(1)
    assert wide.is_answered


def test_comparisons_with_baselines_have_holms_correction() -> None:
    of = figures(0.0, 0.12, -0.12, 0.03, 0.4)
    found = said(of)
    p = Evidence(of).p(np.full(5, 20))
    two_sided = np.minimum(1, 2 * np.minimum(p[1:, 0], p[0, 1:]))
    assert found.baseline.adjusted.tolist() == pytest.approx([1.0, *holm(two_sided)])
    assert found.baseline.better.tolist() == [0, *np.where(holm(two_sided) <= 0.05, np.sign([1, -1, 1, 1]), 0)]
    upper = Evidence(of).upper(np.full(5, 20), 0.05 / 2 / 4)
    assert found.baseline.high[1:] == pytest.approx(upper[1:, 0])
    assert found.baseline.low[1:] == pytest.approx(-upper[0, 1:])


def test_each_optimizer_has_a_baseline_of_its_own() -> None:
    """Arms 0 and 1 are the scheduler constant with two optimizers; arms 2 and 3 are step with the same optimizers."""
    found = said(figures(0.0, 0.6, 1.0, 0.4), baselines=(0, 1, 0, 1))
    assert found.rules.pairs == [(2, 0), (3, 1)]
    assert found.baseline.better.tolist() == [0, 0, 1, -1]
    assert found.baseline.adjusted[:2].tolist() == [1, 1]


def test_without_a_baseline_the_best_is_the_answer() -> None:
    found = said(figures(0.0, 1.0), baselines=(None, None))
    assert found.baseline.better.tolist() == [0, 0]
    assert found.baseline.low.tolist() == [-math.inf, -math.inf]
    assert found.baseline.high.tolist() == [math.inf, math.inf]
    assert found.is_answered


def test_an_open_comparison_with_the_baseline_is_no_answer() -> None:
    """A one-sided test leaves only the leader in the set, but the test against the baseline is two-sided."""
    of = figures(0.0, 0.0)
    error = np.std(of[1] - of[0], ddof=1) / math.sqrt(20)
    of[1] += critical(0.035, 20) * error
    found = said(of, margin=1e-3)
    assert found.in_set.tolist() == [False, True]
    assert found.is_good_enough(1)
    assert not found.is_baseline_settled
    assert not found.is_answered
    assert said(of, margin=1.0).is_answered
    of[1] += 2 * error
    assert said(of, margin=1e-3).is_answered


def test_the_first_of_equal_arms_leads() -> None:
    row = np.random.default_rng(0).normal(size=12)
    found = said(np.array([row, row, row]), margin=0.01)
    assert found.leader == 0
    assert found.in_set.all()
    assert found.is_answered


def test_a_single_arm_is_the_best() -> None:
    found = said(figures(0.0))
    assert found.in_set.tolist() == [True]
    assert found.bound.tolist() == [0]
    assert found.is_answered


def test_one_arm_stays_in_the_set_if_figures_contradict_each_other() -> None:
    """Each arm is beaten by another arm, which can happen if different pairs share different seeds."""

    class Contradiction(Evidence):
        def p(self, held: object) -> FloatArray:
            return np.array([[1, 0, 1], [1, 1, 0], [0, 1, 1]], float)

    of = figures(0.0, 0.1, 0.2)
    found = stand(Contradiction(of), [20] * 3, Rules((0, 0, 0), 0.05))
    assert found.in_set.tolist() == [False, False, True]


def test_the_leader_has_the_most_seeds() -> None:
    """An arm that was dropped early does not lead, even if its mean over fewer seeds is higher."""
    of = figures(0.05, 0.0, 0.0)
    of[0, 10:] = math.nan
    found = stand(Evidence(of), [10, 20, 20], Rules((0, 0, 0), 0.05))
    assert found.in_set[0]
    assert found.leader in (1, 2)
    assert np.isfinite(found.bound[found.in_set]).all()


def test_few_seeds_are_enough_for_a_clear_difference() -> None:
    assert said(figures(0.0, 5.0, seeds=4)).baseline.better.tolist() == [0, 1]
    assert said(figures(0.0, 5.0, seeds=1)).baseline.better.tolist() == [0, 0]


def test_one_seed_gives_a_leader_but_no_bounds() -> None:
    found = stand(Evidence(np.array([[0.18], [0.36], [0.2]])), [1, 1, 1], Rules((0, 0, 0), 0.005))
    assert found.leader == 1
    assert found.in_set.all()
    assert np.isinf(found.bound).all()
