"""How often verdicts are wrong on simulated sweeps whose true differences are known, and mostly zero."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison import calibration
from pipeline.comparison.anytime import FloatArray
from pipeline.comparison.calibration import Case, Errors, Rate, Trial
from pipeline.comparison.standing import Rules
from pipeline.sweep.rounds import most_seeds, outcome
from tests.helpers.commands import Command
from tests.helpers.project import SCHEDULERS, edit

ARMS, BUDGET, MARGIN, IMAGES = 22, 600, 0.005, 450
RULES = Rules((0,) * ARMS, MARGIN, 1 / IMAGES)


def tails(runs: int = 120) -> FloatArray:
    """Return accuracies like those of real runs at a high rate, where two of 22 schedulers sometimes end far too low.

    Real runs of constant had a standard deviation of 1.9 points and a skewness of -3.2. Those of other schedulers had a
    standard deviation of 0.5 points and were roughly normal.
    """
    random = np.random.default_rng(0)
    figures = 0.972 + 0.005 * random.normal(size=(ARMS, runs))
    for arm in (0, 5):
        low = random.random(runs) < 0.3
        figures[arm] -= np.where(low, random.exponential(0.0257, runs), 0)
    return np.round(figures * IMAGES) / IMAGES


def raced(case: Case, sweeps: int) -> Errors:
    return calibration.measure(Trial(case, partial(outcome, budget=BUDGET), most_seeds(ARMS, BUDGET), RULES, sweeps))


def test_the_simulated_tails_match_real_runs() -> None:
    for arm in (0, 5):
        assert stats.skew(tails(5000)[arm]) == pytest.approx(-3.2, abs=0.6)
        assert np.std(tails(5000)[arm]) == pytest.approx(0.019, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["normal", "copies", "one mean"])
def test_a_race_errs_in_at_most_one_sweep_of_twenty(kind: str) -> None:
    """Cases: normal figures, the same figures for all schedulers, and figures that differ only in their tails."""
    pool = tails()
    cases = {
        "normal": calibration.alike(ARMS, 0.005),
        "copies": calibration.copies("constant", pool[0], ARMS),
        "one mean": calibration.recentred(pool),
    }
    found = raced(cases[kind], 200)
    for rate in (found.verdict, found.best_out, found.bound):
        assert rate.interval[0] <= 0.05
    assert found.runs <= BUDGET


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [10, 40])
def test_fixed_seeds_keep_the_error_rate_under_heavy_tails(seeds: int) -> None:
    """Here, Student's test would err in 9% of sweeps with ten seeds, and the highest E of up to 40 seeds in 8%."""
    found = calibration.measure(Trial(calibration.recentred(tails()), calibration.fixed, seeds, RULES, 600))
    assert max(found.verdict.share, found.best_out.share) < 0.03


def test_the_race_finds_true_differences_without_false_ones() -> None:
    means = np.zeros(ARMS)
    means[1:4], means[7] = -0.02, 0.012

    def draw(seeds: int, random: np.random.Generator) -> FloatArray:
        return means[:, None] + 0.005 * random.normal(size=(ARMS, seeds))

    found = raced(Case("seven is best", means, draw), 30)
    assert found.answered.share == 1
    assert found.verdict.count <= 4
    assert found.best_out.count <= 4
    assert 220 < found.runs < 320


@pytest.mark.parametrize("seeds", [5, 10])
def test_fixed_seeds_err_in_at_most_one_sweep_of_twenty(seeds: int) -> None:
    found = calibration.measure(Trial(calibration.alike(ARMS), calibration.fixed, seeds, RULES, 300))
    for rate in (found.verdict, found.best_out, found.bound):
        assert rate.interval[0] <= 0.05
    assert found.runs == ARMS * seeds


def test_errors_are_counted_against_the_true_means() -> None:
    """For example, if the true means are equal, every significant difference is an error."""
    figures = np.array([0.0, 3.0, -3.0, 0.0])[:, None] + np.random.default_rng(0).normal(size=(4, 12))
    rules = Rules((0,) * 4, 0.5)

    def draw(seeds: int, random: np.random.Generator) -> FloatArray:
        return figures[:, :seeds]

    right = calibration.measure(Trial(Case("", figures.mean(1), draw), calibration.fixed, 12, rules, 3))
    assert (right.verdict, right.best_out, right.bound) == (Rate(0, 3), Rate(0, 3), Rate(0, 3))
    alike = calibration.measure(Trial(Case("", np.zeros(4), draw), calibration.fixed, 12, rules, 3))
    assert (alike.verdict, alike.best_out) == (Rate(3, 3), Rate(3, 3))
    far = calibration.measure(Trial(Case("", np.array([0, 50.0, 100.0, 0]), draw), calibration.fixed, 12, rules, 3))
    assert (far.verdict, far.best_out, far.bound) == (Rate(3, 3), Rate(3, 3), Rate(3, 3))


def test_a_seeds_common_effect_is_no_difference() -> None:
    """A seed moves the figures of all arms together, and the total deviation of the figures is the one requested."""
    random = np.random.default_rng(0)
    figures = np.stack([calibration.alike(2, 3.0).draw(5, random) for _ in range(4000)])
    assert figures.std() == pytest.approx(3, abs=0.06)
    assert np.corrcoef(figures[:, 0].ravel(), figures[:, 1].ravel())[0, 1] == pytest.approx(0.5, abs=0.02)


def test_real_runs_are_drawn_by_seed_with_replacement() -> None:
    pool = np.arange(12.0).reshape(3, 4) ** 2
    drawn = calibration.as_they_are(pool).draw(50, np.random.default_rng(0))
    columns = [tuple(column) for column in pool.T]
    assert {tuple(column) for column in drawn.T} == set(columns)
    assert calibration.as_they_are(pool).means.tolist() == pool.mean(1).tolist()
    centred = calibration.recentred(pool).draw(50, np.random.default_rng(0))
    assert centred == pytest.approx(drawn - pool.mean(1, keepdims=True))
    copied = calibration.copies("step", pool[1], 5).draw(50, np.random.default_rng(0))
    assert set(copied.ravel()) == set(pool[1])
    assert copied.shape == (5, 50)


def test_the_same_arguments_draw_the_same_sweeps() -> None:
    assert raced(calibration.alike(ARMS, 0.005), 5) == raced(calibration.alike(ARMS, 0.005), 5)


def test_the_worst_and_the_median_case_are_named() -> None:
    def errors(title: str, wrong: int, out: int) -> Errors:
        return Errors(title, Rate(wrong, 100), Rate(out, 100), Rate(0, 100), 1.0, Rate(0, 100))

    worst, median = calibration.worst_and_median([errors("a", 3, 1), errors("b", 3, 2), errors("c", 1, 9)])
    assert (worst.title, median.title) == ("b: worst", "a: median")


def test_the_deviation_is_the_median_of_paired_differences() -> None:
    """The effect that a seed has on all arms cancels out, and the median of the three deviations is returned."""
    random = np.random.default_rng(0)
    pool = 5 * random.normal(size=20_000) + np.array([0, 1, 2, 9])[:, None] * random.normal(size=(4, 20_000))
    assert calibration.paired_deviation(pool, Rules((0,) * 4, 0)) == pytest.approx(2, rel=0.03)
    assert calibration.paired_deviation(pool[:, :1], Rules((0,) * 4, 0)) is None
    assert calibration.paired_deviation(pool, Rules((None,) * 4, 0)) is None


def test_the_interval_of_a_share() -> None:
    """The intervals for 0 of 100 and 1 of 100 are those in published tables of Clopper-Pearson intervals."""
    assert Rate(0, 100).interval == pytest.approx((0, 0.0362), abs=1e-4)
    assert Rate(1, 100).interval == pytest.approx((0.0003, 0.0545), abs=1e-4)


@pytest.mark.slow
def test_the_command_trains_all_schedulers_and_leaves_the_models_alone(pipeline: Command, project: Path) -> None:
    edit(project, **{"tasks__digits-mlp__epochs": 1})
    (project / "models").mkdir()
    done = pipeline("calibrate", "--sweeps", "8", "--seeds", "3", "--pool", "3", PIPELINE_JOBS="1")
    assert done.returncode == 0, done.stderr
    assert "digits-mlp: how often 8 sweeps are wrong" in done.stdout
    assert f"{len(SCHEDULERS)} schedulers, 3 seeds of each" in done.stdout
    assert f"{len(SCHEDULERS)} schedulers, as many seeds as it takes, at most 600 runs" in done.stdout
    assert f"{len(SCHEDULERS) - 1} comparisons: SD" in done.stdout
    assert "test accuracy" in done.stdout
    assert len(list((project / ".cache" / "runs").iterdir())) == 3 * len(SCHEDULERS)
    assert not list((project / "models").iterdir())


def test_each_scheduler_has_its_own_best_rate(pipeline: Command, project: Path) -> None:
    """The first ten seeds are trained at all rates, to choose the best; further seeds are trained only at that rate."""
    edit(project, **{"tasks__digits-mlp__epochs": 1, "lr": "[0.01,0.15]", "scheduler": "[constant,cosine]"})
    done = pipeline("calibrate", "--sweeps", "2", "--pool", "12", PIPELINE_JOBS="1")
    assert done.returncode == 0, done.stderr
    assert "2 schedulers" in done.stdout
    assert len(list((project / ".cache" / "runs").iterdir())) == 2 * 2 * 10 + 2 * 2
