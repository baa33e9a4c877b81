"""Statistics on arrays of figures, which know nothing of runs or schedulers. No I/O.

Runs that share a seed are paired: two arrays hold the figures of the same seeds, in the same order.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from statistics import stdev

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

LEVEL = 0.95
"""Confidence level of intervals; 1 - LEVEL bounds the family-wise error rate of all comparisons made together."""
POWER = 0.8
"""Power at which a number of seeds counts as enough: the chance of detecting a difference that exists."""
MOST_SEEDS = 10_000
"""`seeds_needed` looks no further."""
ROUNDING = 1e-9
"""Differences whose standard deviation is below this share of the largest of them differ by rounding only."""
Figures = NDArray[np.float64]


def deviation(differences: ArrayLike) -> float:
    """Return the standard deviation of differences, and 0 where they do not scatter but by rounding."""
    differences = np.asarray(differences, float)
    if len(differences) < 2:
        return 0.0
    found = float(differences.std(ddof=1))
    return found if found > ROUNDING * np.abs(differences).max() else 0.0


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
    """Return how often a paired t-test detects a difference.

    Args:
        effect: the mean difference in standard deviations of the differences.
        seeds: at least two.
        comparisons: number made together; the level is divided by it, as in the first step of Holm's procedure.
    """
    level = (1 - LEVEL) / comparisons
    if not effect:  # scipy's noncentral F is wrong here
        return level
    # t squared follows F; scipy's noncentral t is often NaN for large effects.
    bound = special.stdtrit(seeds - 1, 1 - level / 2) ** 2
    return float(stats.ncf.sf(bound, 1, seeds - 1, effect**2 * seeds))


def seeds_needed(mean: float, deviation: float, comparisons: int = 1) -> int | None:
    """Return the fewest seeds that detect a difference with the chance `POWER`.

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
    return bisect_left(range(MOST_SEEDS), POWER, lo=2, key=lambda seeds: power(effect, seeds, comparisons))


def detectable(seeds: int, comparisons: int = 1) -> float:
    """Return the smallest difference detected with the chance `POWER`, in standard deviations of the differences."""
    upper = 1.0
    while power(upper, seeds, comparisons) < POWER:
        upper *= 2
    return float(optimize.brentq(lambda effect: power(effect, seeds, comparisons) - POWER, 0, upper))
