"""A one-sided paired t-test that holds at every number of seeds at once: one may look, and then add seeds. No I/O.

Figures are so that higher is better. Fixed tests err more often than they say where seeds are added after a look;
this one errs at most as often as it says, however often one looks and whatever one does then.

For the differences d of n common seeds, t = sqrt(n) mean(d) / s, and g the variance of the prior on mean / deviation:

    E = 2 (1 + n g)^(-1/2) (1 - K)^(-n/2) F(sign(t) sqrt(n K / (1 - K)); n),   K = n g r^2 / (1 + n g),
    r^2 = t^2 / (t^2 + n - 1),   F(.; n) the distribution function of Student's t with n degrees of freedom

is the Bayes factor of a half-normal prior on the standardised mean difference, with the right Haar prior on the
standard deviation. Where the mean difference is at most 0, E is 1 / p or more at any n with a probability of at most p.

Sources: Pérez-Ortiz, Lardy, de Heide & Grünwald 2024, "E-statistics, group invariance and anytime valid testing", and
Wang & Ramdas 2023, "Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance"; that it
holds for one side: Grünwald & Koolen 2025, "Supermartingales for one-sided tests".
"""

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special

FIRST = 10
"""Seeds from which on the test counts. With fewer it can show next to nothing, and heavy tails mislead it."""
PRIOR = 0.5
"""Variance of the half-normal prior on the standardised difference: effects of about 0.7 are shown soonest."""
LEAST = 1e-9
"""Differences scatter by at least this share of the largest of them; less is rounding."""
Figures = NDArray[np.float64]


def log_e(t: ArrayLike, seeds: ArrayLike) -> Figures:
    """Return the logarithm of E, the evidence that a mean difference is above 0.

    Args:
        t: the paired t statistic.
        seeds: number of differences.
    """
    t, n = np.asarray(t, float), np.asarray(seeds, float)
    ratio = np.where(np.isinf(t), 1.0, np.square(np.where(np.isinf(t), 0.0, t)))
    r2 = np.where(np.isinf(t), 1.0, ratio / (ratio + n - 1))
    k = n * PRIOR * r2 / (1 + n * PRIOR)
    inside = special.stdtr(n, np.sign(t) * np.sqrt(n * k / (1 - k)))
    return np.asarray(math.log(2) - np.log1p(n * PRIOR) / 2 - n / 2 * np.log1p(-k) + np.log(np.maximum(inside, 1e-300)))


@cache
def critical(level: float, seeds: int) -> float:
    """Return the t statistic at which the p-value is ``level``; infinite where no t reaches it.

    With fewer than `FIRST` seeds it is Student's, which allows one look.
    """
    if seeds < 2:
        return math.inf
    if seeds < FIRST:
        return float(-special.stdtrit(seeds - 1, level))
    threshold = -math.log(level)
    if log_e(math.inf, seeds) <= threshold:
        return math.inf
    upper = 1.0
    while log_e(upper, seeds) < threshold:
        upper *= 2
    return float(optimize.brentq(lambda t: float(log_e(t, seeds)) - threshold, 0.0, upper))


class Evidence:
    """What figures say of each ordered pair of rows, [j, i]: how far j is better than i, after any number of seeds.

    With fewer than `FIRST` seeds that both have, it is what Student's test says of just these.

    Args:
        figures: shape (rows, seeds), higher is better; NaN after a row's last seed. A column holds one seed.
        least: standard deviation that differences have at least: one test example, for an accuracy.
    """

    def __init__(self, figures: ArrayLike, least: float = 0.0) -> None:
        self._figures = np.asarray(figures, float)
        self._least = max(least, LEAST * np.nanmax(np.abs(self._figures), initial=0.0), 1e-300)
        self._numbers = np.zeros(0, int)
        """Of seeds, from 1 on: as many as were asked for. The arrays have an entry for each of them and each pair."""
        self._mean = self._error = self._log_e = np.zeros(0)

    def _extend(self, most: int) -> None:
        """Compute the arrays for up to so many seeds: a race that ends early needs few."""
        figures = self._figures[:, :most]
        self._numbers = np.arange(1, most + 1)
        n = self._numbers[:, None, None]
        differences = np.moveaxis(figures[:, None, :] - figures[None, :, :], 2, 0)
        shift = differences[0]  # so that squares of small differences keep their digits
        total, squares = (differences - shift).cumsum(0), np.square(differences - shift).cumsum(0)
        self._mean = total / n + shift
        variance = np.maximum(squares - np.square(total) / n, 0) / np.maximum(n - 1, 1)
        self._error = np.maximum(np.sqrt(variance), self._least) / np.sqrt(n)
        t, few = self._mean / self._error, FIRST - 1
        student = -np.log(np.maximum(special.stdtr(np.maximum(n - 1, 1), -t)[:few], 1e-300))
        student[0] = 0.0  # one seed says nothing
        self._log_e = np.concatenate([student, np.maximum.accumulate(log_e(t[few:], n[few:]), axis=0)])

    def _at(self, held: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Return the index of each pair's numbers where row i has ``held[i]`` seeds."""
        common = np.minimum(held[:, None], held[None, :])
        np.fill_diagonal(common, 1)  # a row is as good as itself
        if common.max() > len(self._numbers):
            self._extend(min(2 * int(common.max()), self._figures.shape[1]))
        rows = np.arange(len(held))
        return common - 1, rows[:, None], rows[None, :]

    def mean(self, held: NDArray[np.intp]) -> Figures:
        """Return the mean difference of each pair over the seeds that both have; ``held`` are the seeds of each row."""
        at = self._at(held)
        return np.asarray(self._mean[at])

    def p(self, held: NDArray[np.intp]) -> Figures:
        """Return the p-value of each pair: that j is better than i, against that it is not."""
        at = self._at(held)
        return np.asarray(np.exp(-np.maximum(self._log_e[at], 0.0)))

    def upper(self, held: NDArray[np.intp], level: float) -> Figures:
        """Return by how much j is better than i at most: it is more with a probability of at most ``level``."""
        at = self._at(held)
        scores = np.array([critical(level, int(seeds)) for seeds in self._numbers])[:, None, None]
        bounds, few = self._mean + scores * self._error, FIRST - 1
        bounds[few:] = np.minimum.accumulate(bounds[few:], axis=0)
        bounds = bounds[at]
        np.fill_diagonal(bounds, 0.0)
        return np.asarray(bounds)
