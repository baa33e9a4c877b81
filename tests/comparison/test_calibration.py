"""The verdict on data whose differences are known: mostly there is none."""

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison import calibration
from pipeline.comparison.calibration import FalsePositiveRate
from pipeline.comparison.statistics import compare
from tests.conftest import SCHEDULERS, Command, edit

COMPARISONS = len(SCHEDULERS) - 1
IMAGES = 450
POOL = [
    *(342, 359, 324, 342, 330, 361, 384, 363, 396, 390, 375, 369, 350, 392, 407, 380, 382, 384, 381, 355, 414, 382),
    *(362, 379, 327, 388, 415, 402, 390, 351, 397, 396, 403, 382, 356, 389, 370, 352, 387, 400, 328, 377, 316, 362),
    *(366, 343, 392, 388, 405, 330, 351, 387, 370, 371, 346, 383, 380, 381, 372, 315, 350, 389, 328, 386, 309, 362),
]
"""Correct answers, of 450 test images, of real runs of constant on digits-mlp: seeds 0 to 65, two epochs."""


@pytest.fixture
def pool() -> list[float]:
    """The test accuracy of real runs of one scheduler."""
    return [correct / IMAGES for correct in POOL]


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_an_interval_of_95_percent_holds_the_difference_as_often(seeds: int) -> None:
    """The share of so many is within 0.5% of its expectation, three times out of four; 2% off is six times as far."""
    pairs = 4000
    differences = np.linspace(-3, 3, pairs)
    figures = calibration.alike(2 * pairs, seeds, np.random.default_rng(seeds))
    figures[::2] += differences[:, None]
    found = compare(figures[::2], figures[1::2])
    held = [each.low <= true <= each.high for each, true in zip(found, differences, strict=True)]
    assert 0.93 <= np.mean(held) <= 0.97
    # The test would notice a wrong interval: that of a normal distribution is too narrow for so few seeds.
    narrow = stats.norm.ppf(0.975) / stats.t.ppf(0.975, seeds - 1)
    held = [abs(each.mean - true) <= narrow * each.margin for each, true in zip(found, differences, strict=True)]
    assert np.mean(held) < 0.93


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_one_sweep_of_twenty_has_a_wrong_verdict_at_the_most(seeds: int) -> None:
    found = calibration.simulated(1000, 1 + COMPARISONS, seeds, np.random.default_rng(seeds))
    low, high = found.interval
    assert low <= 0.05
    assert found.rate > 0.02  # nor are there none because nothing is ever found
    assert low < found.rate < high


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_uncorrected_about_every_other_sweep_would_have_one(seeds: int) -> None:
    random = np.random.default_rng(seeds)
    sweeps = [calibration.against_first(calibration.alike(1 + COMPARISONS, seeds, random)) for _ in range(200)]
    wrong = sum(any(each.p <= 0.05 for each in sweep) for sweep in sweeps)
    assert FalsePositiveRate(wrong, len(sweeps)).interval[0] > 0.3


def test_what_seeds_share_is_no_difference() -> None:
    """Figures of one seed go up and down together, and it makes nothing smaller or larger."""
    random = np.random.default_rng(0)
    figures = np.stack([calibration.alike(2, 5, random) for _ in range(4000)])
    assert figures.std() == pytest.approx(1, abs=0.02)
    assert np.corrcoef(figures[:, 0].ravel(), figures[:, 1].ravel())[0, 1] == pytest.approx(0.5, abs=0.02)
    one, two = figures[0]
    (shifted,) = compare([one + 1000 * np.arange(5)], [two + 1000 * np.arange(5)])
    (found,) = compare([one], [two])
    assert shifted.p == pytest.approx(found.p)


def test_one_scheduler_under_many_names_is_not_better_than_itself(pool: list[float]) -> None:
    assert len(pool) == 3 * 22
    found = calibration.resampled(pool, 500, 22, 3, np.random.default_rng(0))
    assert found.interval[0] <= 0.05


def test_a_scheduler_that_is_better_is_found_among_real_runs(pool: list[float]) -> None:
    """The last test would notice: with a difference to find, most sweeps have a verdict."""
    random = np.random.default_rng(0)
    better = 20 * np.std(pool)
    wins = 0
    for _ in range(50):
        figures = random.choice(pool, (2, 5), replace=False)
        figures[1] += better
        (test,) = calibration.against_first(figures)
        wins += test.is_significant and test.mean > 0
    assert wins > 40


def test_a_run_of_the_pool_is_in_a_sweep_only_once() -> None:
    """A pool that is just large enough is used whole; a smaller one is refused."""
    random = np.random.default_rng(0)
    assert calibration.resampled([0.0] * 11 + [math.pi], 20, 4, 3, random) == FalsePositiveRate(0, 20)
    with pytest.raises(ValueError, match="larger sample than population"):
        calibration.resampled([0.0] * 11, 20, 4, 3, random)


def test_runs_that_diverge_now_and_then_are_no_difference() -> None:
    random = np.random.default_rng(0)
    losses = random.normal(size=5 * len(SCHEDULERS))
    figures = [math.nan if number % 10 == 0 else loss for number, loss in enumerate(losses)]
    assert calibration.resampled(figures, 200, 1 + COMPARISONS, 5, random).interval[0] <= 0.05


def test_the_table_says_it_in_the_units_of_the_metric() -> None:
    rows = calibration.power_table([5, 10], 1, deviation=0.02)
    assert [(row.seeds, row.comparisons) for row in rows] == [(5, 1), (10, 1)]
    assert [row.deviations for row in rows] == pytest.approx([1.682, 0.996], abs=0.001)
    assert [row.difference for row in rows] == pytest.approx([0.02 * row.deviations for row in rows])
    assert calibration.power_table([5], 1)[0].difference is None


def test_differences_scatter_as_those_of_independent_runs() -> None:
    figures = np.random.default_rng(0).normal(size=20_000)
    expected = np.std(figures[::2] - figures[1::2], ddof=1)
    assert calibration.paired_deviation(figures.tolist()) == pytest.approx(expected, rel=0.03)
    assert calibration.paired_deviation([1.0]) is None
    assert calibration.paired_deviation([1.0, math.nan, 2.0]) is None


def test_a_share_says_what_it_leaves_open() -> None:
    """The limits for 0 and for 1 of 100 as tables of Clopper and Pearson's intervals have them."""
    assert FalsePositiveRate(0, 100).interval == pytest.approx((0, 0.0362), abs=1e-4)
    assert FalsePositiveRate(1, 100).interval == pytest.approx((0.0003, 0.0545), abs=1e-4)


def test_the_command_trains_the_baseline_and_leaves_the_models_alone(pipeline: Command, project: Path) -> None:
    edit(project, **{"tasks__digits-mlp__epochs": 1})
    (project / "models").mkdir()
    done = pipeline("calibrate", "--sweeps", "20", "--seeds", "2", PIPELINE_JOBS="1")
    assert done.returncode == 0, done.stderr
    assert f"digits-mlp, {2 * len(SCHEDULERS)} runs of constant" in done.stdout
    assert f"{COMPARISONS} comparisons: SD" in done.stdout
    assert "test accuracy" in done.stdout
    assert len(list((project / ".cache" / "runs").iterdir())) == 2 * len(SCHEDULERS)
    assert not list((project / "models").iterdir())
