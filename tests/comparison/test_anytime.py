"""The anytime test, which is valid at every number of seeds, is compared with independent calculations."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import integrate, stats

from pipeline.comparison.anytime import FIRST, LEAST, PRIOR, Evidence, FloatArray, critical, log_e


def bayes_factor(t: float, seeds: int) -> float:
    """Return the likelihood of ``t``, averaged over the prior, divided by its likelihood if there is no difference.

    With the right Haar prior on the deviation, the likelihood depends on the differences only through t.
    """

    def weighed(effect: float) -> float:
        likelihood = stats.nct.pdf(t, seeds - 1, effect * math.sqrt(seeds))
        return float(likelihood * stats.halfnorm.pdf(effect, scale=math.sqrt(PRIOR)))

    found, _ = integrate.quad(weighed, 0, 8, limit=200)
    return float(found / stats.t.pdf(t, seeds - 1))


def mean_e(effect: float, seeds: int) -> float:
    """Return the expected value of E; ``effect`` is the mean difference in standard deviations."""
    found, _ = integrate.quad(
        lambda t: np.exp(log_e(t, seeds)) * stats.nct.pdf(t, seeds - 1, effect * math.sqrt(seeds)), -40, 40, limit=400
    )
    return float(found)


def held(*seeds: int) -> NDArray[np.intp]:
    return np.array(seeds, dtype=np.intp)


@pytest.mark.parametrize("seeds", [10, 13, 40])
@pytest.mark.parametrize("t", [-3.0, -0.4, 0.0, 1.0, 2.5, 4.0])
def test_e_is_the_bayes_factor(t: float, seeds: int) -> None:
    assert math.exp(log_e(t, seeds)) == pytest.approx(bayes_factor(t, seeds), rel=1e-5)


@pytest.mark.parametrize("seeds", [10, 25])
def test_e_has_mean_1_without_a_difference_and_less_with_a_negative_one(seeds: int) -> None:
    assert mean_e(0.0, seeds) == pytest.approx(1, abs=0.02)  # the integral leaves out the tails beyond ±40
    assert mean_e(-0.3, seeds) < 0.5
    assert mean_e(0.7, seeds) > 3


def test_an_infinite_t_has_the_highest_e() -> None:
    assert log_e(math.inf, 10) == pytest.approx(log_e(1e9, 10))
    assert log_e(-math.inf, 10) < log_e(-5, 10) < 0


@pytest.mark.parametrize("mean", [0.0, -0.2])
def test_looking_at_every_number_of_seeds_keeps_the_error_rate(mean: float) -> None:
    """If Student's test were applied at every number of seeds, it would err in a quarter of these samples."""
    seeds, samples = 100, 2000
    x = np.random.default_rng(0).normal(mean, 1, (samples, seeds))
    n = np.arange(1, seeds + 1)
    means = x.cumsum(1) / n
    deviations = np.sqrt(np.maximum(np.square(x).cumsum(1) - n * means**2, 1e-12) / np.maximum(n - 1, 1))
    t = (means / deviations * np.sqrt(n))[:, FIRST - 1 :]
    ever = (log_e(t, n[FIRST - 1 :]) >= math.log(20)).any(1).mean()
    assert ever <= 0.05
    if mean == 0:
        assert ever > 0.005
        assert (t > stats.t.ppf(0.95, n[FIRST - 1 :] - 1)).any(1).mean() > 0.15


@pytest.mark.parametrize("level", [0.05, 0.05 / 21, 1e-4])
@pytest.mark.parametrize("seeds", [10, 11, 50, 400])
def test_at_the_critical_t_e_is_1_over_the_level(level: float, seeds: int) -> None:
    if math.isinf(critical(level, seeds)):
        assert log_e(math.inf, seeds) <= -math.log(level)
    else:
        assert log_e(critical(level, seeds), seeds) == pytest.approx(-math.log(level))


def test_with_few_seeds_the_critical_t_is_students() -> None:
    assert critical(0.01, 5) == pytest.approx(stats.t.ppf(0.99, 4))
    assert critical(0.01, FIRST - 1) < critical(0.01, FIRST)  # Student's test allows only one look
    assert math.isinf(critical(0.05, 1))
    assert math.isinf(critical(1e-30, 10))


def by_hand(first: FloatArray, second: FloatArray, level: float) -> tuple[float, float]:
    """Return the p-value for ``first`` being better than ``second``, and the upper bound of its lead."""
    differences, seeds = first - second, len(first)
    error = float(np.std(differences, ddof=1)) / math.sqrt(seeds)
    p = min(1.0, math.exp(-float(log_e(differences.mean() / error, seeds))))
    return p, float(differences.mean()) + critical(level, seeds) * error


def test_evidence_equals_that_of_each_pair_by_hand() -> None:
    random = np.random.default_rng(1)
    figures = random.normal(size=(4, 30)) + random.normal(size=30) + 0.5 * np.arange(4)[:, None]
    figures[1, 14:], figures[3, 22:] = math.nan, math.nan
    evidence, seeds = Evidence(figures), held(30, 14, 30, 22)
    for step in (held(10, 10, 10, 10), held(14, 14, 14, 14), held(22, 14, 22, 22), seeds):
        p, upper, mean = evidence.p(step), evidence.upper(step, 0.01), evidence.mean(step)
        for j, i in np.ndindex(4, 4):
            common = min(step[j], step[i])
            first, second = figures[j, :common], figures[i, :common]
            assert mean[j, i] == pytest.approx((first - second).mean())
            if j != i:
                assert (p[j, i], upper[j, i]) == pytest.approx(by_hand(first, second, 0.01))
        assert np.diagonal(p).tolist() == [1, 1, 1, 1]
        assert np.diagonal(upper).tolist() == [0, 0, 0, 0]


def test_earlier_evidence_does_not_count() -> None:
    """A failed eleventh run cancels the evidence of ten seeds, whether or not that evidence was looked at before."""
    figures = np.random.default_rng(0).normal(size=(2, 11)) + np.array([[3.0], [0.0]])
    figures[0, 10] = -60
    looked, fresh = Evidence(figures), Evidence(figures)
    assert looked.p(held(10, 10))[0, 1] < 0.01
    assert looked.p(held(11, 11))[0, 1] == fresh.p(held(11, 11))[0, 1] == 1
    assert looked.p(held(10, 10))[0, 1] < 0.01


@pytest.mark.parametrize("columns", [6, 30])
def test_with_few_seeds_evidence_is_students(columns: int) -> None:
    """Figures of later seeds, which do not count yet, do not change the result."""
    figures = np.random.default_rng(2).normal(size=(3, columns))
    p = Evidence(figures).p(held(6, 6, 6))
    for j, i in ((0, 1), (1, 0), (2, 1)):
        assert p[j, i] == pytest.approx(stats.ttest_rel(figures[j, :6], figures[i, :6], alternative="greater").pvalue)
    bounds = Evidence(figures).upper(held(6, 6, 6), 0.05)
    interval = stats.ttest_rel(figures[0, :6], figures[1, :6]).confidence_interval(0.9)
    assert bounds[0, 1] == pytest.approx(interval.high)
    assert Evidence(figures).p(held(1, 1, 1)).tolist() == np.ones((3, 3)).tolist()
    assert np.isinf(Evidence(figures).upper(held(1, 1, 1), 0.05)[0, 1])


def test_constant_differences_are_distinguished_from_rounding_errors() -> None:
    base = np.random.default_rng(3).normal(size=20)
    same, better = Evidence([base, base.copy()]), Evidence([base + 0.01, base])
    seeds = held(20, 20)
    assert same.p(seeds).tolist() == [[1, 1], [1, 1]]
    assert 0 <= same.upper(seeds, 0.01)[0, 1] < 100 * LEAST
    assert better.p(seeds)[0, 1] < 1e-4
    assert better.p(seeds)[1, 0] == 1
    assert better.upper(seeds, 0.01)[0, 1] == pytest.approx(0.01, abs=1e-6)


def test_the_deviation_of_differences_is_at_least_one_example() -> None:
    """Even with 20 seeds, a constant gain of a tenth of a test example is not significant."""
    base = np.full(20, 0.9)
    figures = [base + 0.1 / 450, base]
    assert Evidence(figures).p(held(20, 20))[0, 1] < 1e-4
    assert Evidence(figures, least=1 / 450).p(held(20, 20))[0, 1] > 0.5


def test_a_stricter_level_has_a_higher_bound() -> None:
    evidence = Evidence(np.random.default_rng(4).normal(size=(3, 15)))
    seeds = held(15, 15, 15)
    lenient, strict = evidence.upper(seeds, 0.05), evidence.upper(seeds, 0.001)
    apart = ~np.eye(3, dtype=bool)
    assert (strict[apart] > lenient[apart]).all()
    assert (lenient >= evidence.mean(seeds) - 1e-12).all()
    assert (np.abs(evidence.mean(seeds) + evidence.mean(seeds).T) < 1e-12).all()


@pytest.mark.parametrize("level", [0.2, 0.01, 0.002])
def test_significance_agrees_with_the_bound(level: float) -> None:
    """Arm j is significantly better than arm i if, and only if, the upper bound of i's lead over j is negative."""
    random = np.random.default_rng(5)
    evidence = Evidence(random.normal(size=(8, 12)) + 0.6 * np.arange(8)[:, None])
    seeds = held(*[12] * 8)
    apart = ~np.eye(8, dtype=bool)
    shown = evidence.p(seeds) <= level
    assert (shown == (evidence.upper(seeds, level).T < 0))[apart].all()
    assert 0 < shown.sum() < 40
