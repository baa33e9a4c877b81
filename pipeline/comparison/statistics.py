"""Statistics on arrays of figures, which know nothing of runs or schedulers. No I/O.

Runs that share a seed are paired: two arrays hold the figures of the same seeds, in the same order.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from statistics import stdev

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, special, stats

from pipeline.comparison.anytime import FIRST, LEAST, Figures, critical

LEVEL = 0.95
"""Confidence level of intervals; 1 - LEVEL bounds the family-wise error rate of all comparisons made together."""
POWER = 0.8
"""Power at which a number of seeds counts as enough: the chance of detecting a difference that exists."""
MOST_SEEDS = 10_000
"""`seeds_needed` looks no further."""


def deviation(differences: ArrayLike) -> float:
    """Return the standard deviation of differences, and 0 where they do not scatter but by rounding."""
    differences = np.asarray(differences, float)
    if len(differences) < 2:
        return 0.0
    found = float(differences.std(ddof=1))
    return found if found > LEAST * np.abs(differences).max() else 0.0


def wins(figures: ArrayLike, reference: ArrayLike) -> float:
    """Return the probability that a figure is higher than one of the reference, whatever their seeds; ties count half.

    Source: Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice".
    """
    differences = np.subtract.outer(np.asarray(figures, float), np.asarray(reference, float))
    return float(np.mean((differences > 0) + 0.5 * (differences == 0)))


def holm(p: ArrayLike) -> Figures:
    """Return p-values corrected for each other; none is below one that was smaller before.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(np.minimum(1, np.arange(len(p), 0, -1) * p[order]))
    return adjusted


def hedges_factor(seeds: int) -> float:
    """Return the factor that makes a standardised mean of ``seeds`` differences unbiased; NaN for fewer than three.

    Source: Hedges 1981, "Distribution theory for Glass's estimator of effect size and related estimators".
    """
    if seeds < 3:
        return math.nan
    half = (seeds - 1) / 2
    return math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)


def replace_diverged(losses: ArrayLike) -> Figures:
    """Replace each loss that is not finite with the worst finite one; all stay as they are if none is finite."""
    losses = np.asarray(losses, float)
    finite = np.isfinite(losses)
    return np.where(finite, losses, losses[finite].max()) if finite.any() else losses


def standard_deviation(figures: Sequence[float]) -> float:
    """Return the standard deviation of a sample; NaN for one figure, or if one is not finite."""
    is_known = len(figures) > 1 and np.isfinite(figures).all()
    return stdev(figures) if is_known else math.nan  # exact, so that committed figures have the same bits everywhere


def margin(figures: Sequence[float]) -> float:
    """Return half the width of the interval of Student's t for a mean; NaN where `standard_deviation` is."""
    quantile = float(special.stdtrit(len(figures) - 1, (1 + LEVEL) / 2))
    return quantile * standard_deviation(figures) / math.sqrt(len(figures))


def power(effect: float, seeds: int, comparisons: int = 1) -> float:
    """Return how often the test of the verdict detects a difference.

    That is Student's paired test with fewer than `FIRST` seeds, and from then on the one of
    `pipeline.comparison.anytime`, which pays for its looks with a higher threshold.

    Args:
        effect: the mean difference in standard deviations of the differences.
        seeds: at least two.
        comparisons: number made together; the level is divided by it, as in the first step of Holm's procedure.
    """
    bound = critical((1 - LEVEL) / 2 / comparisons, seeds)
    if not effect:  # scipy's noncentral F is wrong here
        return 2 * float(special.stdtr(seeds - 1, -bound))
    # t squared follows F; scipy's noncentral t is often NaN for large effects.
    return float(stats.ncf.sf(bound**2, 1, seeds - 1, effect**2 * seeds))


def seeds_needed(mean: float, deviation: float, comparisons: int = 1) -> int | None:
    """Return the seeds from which on a difference is detected with the chance `POWER`.

    Fewer than `FIRST` count only if ten would do, too: the test from ten on asks for more.

    Args:
        mean: the mean difference.
        deviation: standard deviation of the differences.
        comparisons: number made together.

    Returns:
        None if it is more than `MOST_SEEDS`, or if mean or deviation is 0.
    """
    if not deviation or not mean:
        return None
    effect = mean / deviation
    if power(effect, MOST_SEEDS, comparisons) < POWER:
        return None
    found = _fewest(effect, comparisons, FIRST, MOST_SEEDS)
    return _fewest(effect, comparisons, 2, FIRST) if found == FIRST else found


def _fewest(effect: float, comparisons: int, lowest: int, highest: int) -> int:
    """Return the fewest seeds with enough power, among those for which one test is used; or the highest."""
    return bisect_left(range(highest), POWER, lo=lowest, key=lambda seeds: power(effect, seeds, comparisons))


def detectable(seeds: int, comparisons: int = 1) -> float:
    """Return the smallest difference detected with the chance `POWER`, in standard deviations of the differences.

    It is infinite where so few seeds show nothing among so many comparisons, whatever the difference.
    """
    if math.isinf(critical((1 - LEVEL) / 2 / comparisons, seeds)):
        return math.inf
    upper = 1.0
    while power(upper, seeds, comparisons) < POWER:
        upper *= 2
    return float(optimize.brentq(lambda effect: power(effect, seeds, comparisons) - POWER, 0, upper))


def heavy_tails(figures: ArrayLike, reference: int) -> bool:
    """Return True if differences are more skewed than 95% of normal samples are, and may mislead a t-test.

    A few runs that end far below the others are missing from most small samples, whose mean and deviation then promise
    too much. The differences of each row to the reference, seed by seed, count: what seeds share is in none of them.
    Each row is tested at the level (1 - `LEVEL`) / rows. False is no proof, as such runs may be missing here, too.

    Args:
        figures: shape (rows, seeds); NaN after a row's last seed. Rows with fewer than `FIRST` seeds, or whose
            differences do not scatter, are left out.
        reference: the row that the others are compared with.
    """
    figures = np.asarray(figures, float)
    differences = np.delete(figures - figures[reference], reference, axis=0)
    rows = [row[np.isfinite(row)] for row in differences]
    rows = [row for row in rows if len(row) >= FIRST and deviation(row) > 0]
    return any(abs(stats.skew(row)) > _usual_skewness(len(row), len(rows)) for row in rows)


@cache
def _usual_skewness(seeds: int, rows: int) -> float:
    """Return the skewness, whatever its sign, below which all of ``rows`` normal samples stay in 95% of all cases."""
    samples = np.random.default_rng(0).normal(size=(20_000, seeds))
    return float(np.quantile(np.abs(stats.skew(samples, axis=1)), 1 - (1 - LEVEL) / rows))
