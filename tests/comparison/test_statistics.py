import math

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.anytime import FIRST, FloatArray, critical, log_e
from pipeline.comparison.statistics import (
    LEVEL,
    MOST_SEEDS,
    detectable,
    deviation,
    half_width,
    heavy_tails,
    hedges_factor,
    holm,
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


def test_differences_that_are_equal_up_to_rounding_have_no_deviation() -> None:
    base = np.array([0.9, 0.91, 0.93])
    assert deviation(base + 1 / 450 - base) == 0
    assert deviation([0.5]) == 0
    assert deviation(np.subtract(ONE, TWO)) == pytest.approx(np.std(np.subtract(ONE, TWO), ddof=1))


@pytest.mark.parametrize("p", [[0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.2], [0.02], [0.01, 0.01, 0.01], []])
def test_holm_equals_stepping_down_by_hand(p: list[float]) -> None:
    """The smallest of m p-values is compared with level/m, the next with level/(m - 1), until one is larger."""
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


def test_a_diverged_run_gets_the_lowest_figure() -> None:
    assert replace_diverged([[1.0, math.nan], [-math.inf, 3.0]]).tolist() == [[1, 1], [1, 3]]
    assert replace_diverged([math.nan, math.nan]).tolist() == [0, 0]


def test_the_standard_deviation_is_that_of_a_sample() -> None:
    assert standard_deviation([1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.2909944)
    assert math.isnan(standard_deviation([1.0]))
    assert math.isnan(standard_deviation([1.0, math.nan, 2.0]))


def test_half_the_width_of_students_interval() -> None:
    assert half_width(ONE) == pytest.approx((np.ptp(stats.ttest_1samp(ONE, 0).confidence_interval(LEVEL))) / 2)
    assert math.isnan(half_width([1.0]))


@pytest.mark.parametrize("comparisons", [1, 21])
@pytest.mark.parametrize(
    ("effect", "seeds"), [(0.5, 3), (3.0, 3), (10.0, 3), (1.0, 5), (3.0, 5), (0.5, 9), (1.5, 10), (3.0, 10), (1.0, 20)]
)
def test_power_is_how_often_a_difference_is_detected(effect: float, seeds: int, comparisons: int) -> None:
    """20,000 samples are simulated, and tested with scipy's t-test or, from ten seeds on, with E."""
    samples = np.random.default_rng(seeds).normal(effect, 1, (20_000, seeds))
    test = stats.ttest_1samp(samples, 0, axis=1)
    detected = test.pvalue <= 0.05 / comparisons
    if seeds >= FIRST:
        detected = log_e(np.abs(test.statistic), seeds) >= -math.log(0.05 / 2 / comparisons)
    expected = power(effect, seeds, comparisons)
    assert detected.mean() == pytest.approx(
        expected, abs=4 * math.sqrt(expected * (1 - expected) / len(samples)) + 1e-4
    )


@pytest.mark.parametrize("comparisons", [1, 21])
@pytest.mark.parametrize("seeds", [2, 3, 5, 10, 20, 50])
def test_a_detectable_difference_is_detected_four_times_out_of_five(seeds: int, comparisons: int) -> None:
    assert power(detectable(seeds, comparisons), seeds, comparisons) == pytest.approx(0.8)


def test_without_a_difference_power_is_the_level_of_students_test_and_less_for_the_anytime_test() -> None:
    assert power(0, 5) == pytest.approx(0.05)
    assert power(0, 9, 21) == pytest.approx(0.05 / 21)
    assert 0 < power(0, 10) < 0.02
    assert power(1e-6, 10) == pytest.approx(power(0, 10))


def test_ten_seeds_are_too_few_for_a_very_small_level() -> None:
    assert math.isinf(detectable(10, 10**9))
    assert detectable(50, 21) == pytest.approx((critical(0.05 / 42, 50) + 0.84) / math.sqrt(50), rel=0.02)


def test_seeds_needed_are_the_fewest_with_enough_power() -> None:
    needed = seeds_needed(0.5, 1.0)
    assert needed is not None
    assert needed > FIRST
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


def test_fewer_than_ten_seeds_are_enough_only_if_ten_are() -> None:
    """Nine seeds can detect 1.2 standard deviations; ten cannot, because the anytime test needs more evidence."""
    assert power(1.2, 9) > 0.8 > power(1.2, 10)
    assert seeds_needed(1.2, 1.0) == 15
    for effect in np.linspace(0.6, 6, 55):
        needed = seeds_needed(effect, 1.0)
        assert needed is not None
        assert all(power(effect, seeds) >= 0.8 for seeds in range(needed, 40))


def with_tails(seeds: int, chance: int) -> FloatArray:
    """Return five rows of figures; in one row, some figures are far below the others."""
    random = np.random.default_rng(chance)
    figures = random.normal(size=(5, seeds)) + random.normal(size=seeds)
    figures[2] -= np.where(random.random(seeds) < 0.12, random.exponential(8, seeds), 0)
    return figures


def test_heavy_tails_are_found() -> None:
    found = [heavy_tails(with_tails(40, chance), 0) for chance in range(40)]
    assert np.mean(found) > 0.8


@pytest.mark.parametrize("rows", [2, 22])
def test_normal_figures_seldom_have_heavy_tails(rows: int) -> None:
    """A seed's effect on all rows does not count as heavy tails, even if it is skewed."""
    random = np.random.default_rng(0)
    found = [heavy_tails(random.normal(size=(rows, 20)) + np.exp(3 * random.normal(size=20)), 0) for _ in range(100)]
    assert np.mean(found) < 0.12


def test_few_seeds_and_equal_figures_show_no_tails() -> None:
    assert not heavy_tails(with_tails(FIRST - 1, 0), 0)
    assert not heavy_tails(np.ones((3, 20)), 0)
    assert not heavy_tails(np.full((1, 20), 0.5), 0)


def test_an_arm_that_has_stopped_counts_with_its_seeds() -> None:
    """Seeds for which only one row has figures are ignored."""
    figures = with_tails(60, 1)
    assert heavy_tails(figures, 0)
    figures[[0, 1, 3, 4], 40:] = math.nan
    assert heavy_tails(figures, 0) == heavy_tails(figures[:, :40], 0)
