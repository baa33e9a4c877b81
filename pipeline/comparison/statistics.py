"""Statistics of arrays of figures. This module does not depend on runs or schedulers. No I/O.

Tests are paired: each difference is between two figures with the same seed.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from statistics import stdev

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from pipeline.comparison.anytime import FIRST, LEAST, FloatArray, critical

LEVEL = 0.95
"""The confidence level of intervals. Comparisons made together have a family-wise error rate of at most 1 - LEVEL."""
POWER = 0.8
"""The target power: the probability that a test detects a difference that exists."""
MOST_SEEDS = 10_000
"""The largest number of seeds that `seeds_needed` returns."""


def deviation(differences: ArrayLike) -> float:
    """Return the standard deviation of differences, or 0 if they vary only by rounding errors."""
    differences = np.asarray(differences, float)
    if len(differences) < 2:
        return 0.0
    scatter = float(differences.std(ddof=1))
    return scatter if scatter > LEAST * np.abs(differences).max() else 0.0


def wins(figures: ArrayLike, reference: ArrayLike) -> float:
    """Pair each figure with each reference figure, and return the share of pairs in which the figure is higher.

    A tie counts as half.

    Source: Agarwal, Schwarzer, Castro, Courville & Bellemare 2021, "Deep reinforcement learning at the edge of the
    statistical precipice".
    """
    differences = np.subtract.outer(np.asarray(figures, float), np.asarray(reference, float))
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def holm(p: ArrayLike) -> FloatArray:
    """Return p-values with Holm's correction, in the given order.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1, np.arange(len(p), 0, -1) * p[order]))
    return adjusted


def hedges_factor(seeds: int) -> float:
    """Return the factor that makes a standardised mean of ``seeds`` differences unbiased.

    The factor is NaN for fewer than three seeds.

    Source: Hedges 1981, "Distribution theory for Glass's estimator of effect size and related estimators".
    """
    if seeds < 3:
        return math.nan
    half = (seeds - 1) / 2
    return math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)


def replace_diverged(figures: ArrayLike) -> FloatArray:
    """Replace each figure that is not finite with the lowest finite figure, or with 0 if no figure is finite."""
    figures = np.asarray(figures, float)
    finite = np.isfinite(figures)
    return np.where(finite, figures, figures[finite].min() if finite.any() else 0.0)


def standard_deviation(figures: Sequence[float]) -> float:
    """Return the standard deviation of a sample, or NaN if it has only one figure or a figure that is not finite."""
    is_known = len(figures) > 1 and np.isfinite(figures).all()
    return stdev(figures) if is_known else math.nan  # exact, unlike NumPy's, so all processors return the same bits


def half_width(figures: Sequence[float]) -> float:
    """Return half the width of Student's confidence interval for the mean.

    The result is NaN if the standard deviation is NaN.
    """
    quantile = float(special.stdtrit(len(figures) - 1, (1 + LEVEL) / 2))
    return quantile * standard_deviation(figures) / math.sqrt(len(figures))


def power(effect: float, seeds: int, comparisons: int = 1) -> float:
    """Return the power of the test behind a verdict: the probability that the test detects a difference.

    With fewer than `FIRST` seeds, the test is Student's paired t-test. From `FIRST` seeds on, the threshold is
    higher, because the test then allows repeated looks at the result, as in `pipeline.comparison.anytime`.

    Args:
        effect: the mean difference, divided by the standard deviation of the differences.
        seeds: the number of seeds, at least two.
        comparisons: number of comparisons made together; the level is divided by this number, as in Holm's first step.
    """
    bound = critical((1 - LEVEL) / 2 / comparisons, seeds)
    if not effect:  # scipy's noncentral F is wrong for an effect of 0
        return 2 * float(special.stdtr(seeds - 1, -bound))
    # the square of t follows an F distribution; scipy's noncentral t is often NaN for large effects
    return float(stats.ncf.sf(bound**2, 1, seeds - 1, effect**2 * seeds))


def seeds_needed(mean: float, deviation: float, comparisons: int = 1) -> int | None:
    """Return the smallest number of seeds for which the test has a power of at least `POWER`.

    The test's threshold rises at `FIRST` seeds, so a lower number is returned only if `FIRST` seeds are also enough.

    Args:
        mean: the mean difference.
        deviation: standard deviation of the differences.
        comparisons: number of comparisons made together.

    Returns:
        The number of seeds, or None if more than `MOST_SEEDS` are needed or if the mean or the deviation is 0.
    """
    if not deviation or not mean:
        return None
    effect = mean / deviation
    if power(effect, MOST_SEEDS, comparisons) < POWER:
        return None
    fewest = _fewest(effect, comparisons, FIRST, MOST_SEEDS)
    return _fewest(effect, comparisons, 2, FIRST) if fewest == FIRST else fewest


def _fewest(effect: float, comparisons: int, lowest: int, highest: int) -> int:
    """Return the first number of seeds from ``lowest`` on that gives enough power, or ``highest`` if no lower one does.

    `FIRST` must not lie strictly between ``lowest`` and ``highest``, because the test changes at `FIRST` seeds.
    """
    return bisect_left(range(highest), POWER, lo=lowest, key=lambda seeds: power(effect, seeds, comparisons))


def detectable(seeds: int, comparisons: int = 1) -> float:
    """Return the smallest effect, defined as in `power`, that the test detects with a probability of `POWER`.

    The result is infinite if the test cannot detect any difference with this number of seeds and comparisons.
    """
    if math.isinf(critical((1 - LEVEL) / 2 / comparisons, seeds)):
        return math.inf
    upper = 1.0
    while power(upper, seeds, comparisons) < POWER:
        upper *= 2
    return float(optimize.brentq(lambda effect: power(effect, seeds, comparisons) - POWER, 0, upper))


def heavy_tails(figures: ArrayLike, reference: int) -> bool:
    """Return True if the differences are more skewed than 95% of normal samples and may therefore mislead a t-test.

    If a few runs end far below the others, most small samples miss these runs, so the mean of such a sample is too high
    and its deviation is too low. The skewness is computed from each row's differences from the reference row. Each
    difference is between two runs with the same seed, which removes the effect of the seed. Each row is tested at the
    level (1 - `LEVEL`) / rows. A result of False does not prove that there are no heavy tails, because the sample may
    have missed the runs in the tail.

    Args:
        figures: figures of shape (rows, seeds); a row is NaN after its last seed. Rows with fewer than `FIRST` seeds,
            or with constant differences, are left out.
        reference: the row that the other rows are compared with.
    """
    figures = np.asarray(figures, float)
    differences = np.delete(figures - figures[reference], reference, axis=0)
    rows = [row[np.isfinite(row)] for row in differences]
    rows = [row for row in rows if len(row) >= FIRST and deviation(row) > 0]
    return any(abs(stats.skew(row)) > _usual_skewness(len(row), len(rows)) for row in rows)


@cache
def _usual_skewness(seeds: int, rows: int) -> float:
    """Return the absolute skewness that ``rows`` normal samples all stay below with a probability of 95%."""
    samples = np.random.default_rng(0).normal(size=(20_000, seeds))
    return float(np.quantile(np.abs(stats.skew(samples, axis=1)), 1 - (1 - LEVEL) / rows))
