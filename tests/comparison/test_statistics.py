import math

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.statistics import (
    LEVEL,
    MOST_SEEDS,
    detectable,
    deviation,
    hedges_factor,
    holm,
    margin,
    power,
    replace_diverged,
    seeds_needed,
    standard_deviation,
    wins,
)

ONE, TWO = [0.7, 0.9, 0.85, 0.6], [0.6, 0.85, 0.87, 0.5]


def test_ties_are_half_a_win() -> None:
    assert wins([1.0, 2.0], [1.0, 3.0]) == (0.5 + 0 + 1 + 0) / 4
    assert wins(ONE, TWO) == stats.mannwhitneyu(ONE, TWO).statistic / 16


def test_differences_that_are_equal_up_to_rounding_do_not_scatter() -> None:
    base = np.array([0.9, 0.91, 0.93])
    assert deviation(base + 1 / 450 - base) == 0
    assert deviation([0.5]) == 0
    assert deviation(np.subtract(ONE, TWO)) == pytest.approx(np.std(np.subtract(ONE, TWO), ddof=1))


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.2], [0.02], [0.01, 0.01, 0.01], []])
def test_holm_is_what_stepping_down_by_hand_gives(p: list[float]) -> None:
    """The smallest p is rejected at level/m, the next at level/(m - 1), and so on until one is larger."""
    adjusted = holm(p)
    for level in np.linspace(0.001, 0.999, 250):
        rejected = set()
        for rank, position in enumerate(np.argsort(p, kind="stable")):
            if p[position] > level / (len(p) - rank):
                break
            rejected.add(int(position))
        assert {position for position, each in enumerate(adjusted) if each <= level} == rejected


@pytest.mark.parametrize("seeds", [3, 5, 10, 50])
def test_hedges_factor_is_near_its_usual_approximation(seeds: int) -> None:
    assert hedges_factor(seeds) == pytest.approx(1 - 3 / (4 * (seeds - 1) - 1), rel=0.02)


def test_two_seeds_have_no_effect_size() -> None:
    assert math.isnan(hedges_factor(2))


def test_a_diverged_loss_becomes_the_worst() -> None:
    assert replace_diverged([[1.0, math.nan], [math.inf, 3.0]]).tolist() == [[1, 3], [3, 3]]
    assert np.isnan(replace_diverged([math.nan, math.nan])).all()


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    assert standard_deviation([1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.2909944)
    assert math.isnan(standard_deviation([1.0]))
    assert math.isnan(standard_deviation([1.0, math.nan, 2.0]))


def test_the_margin_is_half_of_student_s_interval() -> None:
    assert margin(ONE) == pytest.approx((np.ptp(stats.ttest_1samp(ONE, 0).confidence_interval(LEVEL))) / 2)
    assert math.isnan(margin([1.0]))


@pytest.mark.parametrize("comparisons", [1, 21])
@pytest.mark.parametrize(("effect", "seeds"), [(0.5, 3), (3.0, 3), (10.0, 3), (1.0, 5), (3.0, 5), (0.5, 10), (1.0, 20)])
def test_power_is_how_often_a_difference_is_detected(effect: float, seeds: int, comparisons: int) -> None:
    """Scipy's t-test of 20,000 simulated samples; the bound is four standard errors."""
    samples = np.random.default_rng(seeds).normal(effect, 1, (20_000, seeds))
    found = np.mean(stats.ttest_1samp(samples, 0, axis=1).pvalue <= 0.05 / comparisons)
    expected = power(effect, seeds, comparisons)
    assert found == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / len(samples)) + 1e-4)


@pytest.mark.parametrize("comparisons", [1, 21])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20, 50])
def test_a_detectable_difference_is_detected_four_times_out_of_five(seeds: int, comparisons: int) -> None:
    assert power(detectable(seeds, comparisons), seeds, comparisons) == pytest.approx(0.8)
    assert power(0, seeds, comparisons) == pytest.approx(0.05 / comparisons)


def test_seeds_needed_are_the_fewest_with_enough_power() -> None:
    needed = seeds_needed(0.5, 1.0)
    assert needed is not None
    assert power(0.5, needed) >= 0.8 > power(0.5, needed - 1)
    with_more = seeds_needed(0.5, 1.0, comparisons=21)
    assert with_more is not None
    assert with_more > needed
    assert seeds_needed(-0.5, 1.0) == needed
    assert seeds_needed(100.0, 1.0) == 2
    assert seeds_needed(1e-4, 1.0) is None
    assert power(1e-4, MOST_SEEDS) < 0.8
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(0.5, 0.0) is None
