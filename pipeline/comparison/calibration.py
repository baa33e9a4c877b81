"""Measures how often statements about arms are wrong, using arms whose true means are known. No I/O.

Figures are simulated, or drawn from a pool of real runs whose means are taken as the true means. The statements are
made by the same code that makes statements about real sweeps. Higher figures are better.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import stats

from pipeline.comparison.anytime import Evidence, FloatArray
from pipeline.comparison.standing import Rules, Standing, stand
from pipeline.comparison.statistics import LEVEL

ROUNDING = 1e-12
"""Means or bounds that differ by less than this value are treated as equal."""
Draw = Callable[[int, np.random.Generator], FloatArray]
"""A function that draws figures of shape (arms, seeds) for a sweep with the given number of seeds."""
Design = Callable[[FloatArray, Rules], Standing]
"""A function that takes figures of shape (arms, seeds) and returns the standing of the arms.

The function uses all seeds, or only the seeds that a race would train.
"""


@dataclass(frozen=True)
class Rate:
    """The number of sweeps with some property, such as an error, and the total number of sweeps."""

    count: int
    sweeps: int

    @property
    def share(self) -> float:
        """The count as a share of all sweeps, from 0 to 1."""
        return self.count / self.sweeps

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95% confidence interval of the share.

        Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
        binomial".
        """
        interval = stats.binomtest(self.count, self.sweeps).proportion_ci(LEVEL, method="exact")
        return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Case:
    """A kind of sweep in which the true mean of each arm is known."""

    title: str
    means: FloatArray
    """The true mean of each arm."""
    draw: Draw


@dataclass(frozen=True, eq=False)
class Trial:
    """An experiment that draws sweeps of one case and judges them with one design."""

    case: Case
    design: Design
    seeds: int
    """The number of seeds drawn for each arm; a race may use fewer seeds."""
    rules: Rules
    sweeps: int
    """Number of sweeps to draw."""


@dataclass(frozen=True)
class Errors:
    """The error rates of a trial."""

    title: str
    verdict: Rate
    """Share of sweeps in which at least one arm is wrongly called better or worse than its baseline."""
    best_out: Rate
    """Share of sweeps in which the best arm is ruled out.

    If several arms are tied for best, this is the share for the tied arm that is ruled out most often.
    """
    bound: Rate
    """Share of sweeps in which an arm that may be the best is further behind the best arm than its bound allows."""
    runs: float
    """The mean number of runs in a sweep."""
    answered: Rate
    """Share of sweeps with an answer."""


def alike(arms: int, deviation: float = 1.0) -> Case:
    """Return a case in which all arms are equally good and their figures are normally distributed.

    Half of the variance comes from the seed and is common to all arms, like the effect of the initial weights.

    Args:
        arms: number of arms in each sweep.
        deviation: standard deviation of the figures.
    """
    return Case("normal, all alike", np.zeros(arms), partial(_normal, arms, deviation))


def copies(name: str, figures: FloatArray, arms: int) -> Case:
    """Return a case of identical arms, whose figures are drawn with replacement from the real runs of one scheduler.

    Args:
        name: the name of the scheduler.
        figures: the figures of the scheduler's real runs, shape (runs,).
        arms: number of arms in each sweep.
    """
    return Case(f"{name}, copied", np.zeros(arms), partial(_copied, np.asarray(figures, float), arms))


def recentred(pool: FloatArray) -> Case:
    """Return a case of real runs in which the figures of each arm are shifted so that all arms have the same mean.

    ``pool`` holds the figures of the runs and has the shape (arms, runs). Whole columns are drawn with replacement, so
    runs with the same seed stay together.
    """
    return Case("real runs, one mean", np.zeros(len(pool)), partial(_columns, pool - pool.mean(1, keepdims=True)))


def as_they_are(pool: FloatArray) -> Case:
    """Return a case of unchanged real runs, drawn as in `recentred`. An arm's true mean is the mean of its runs."""
    return Case("real runs, as they are", pool.mean(1), partial(_columns, pool))


def _normal(arms: int, deviation: float, seeds: int, random: np.random.Generator) -> FloatArray:
    figures: FloatArray = random.normal(size=seeds) + random.normal(size=(arms, seeds))
    return deviation / math.sqrt(2) * figures


def _copied(figures: FloatArray, arms: int, seeds: int, random: np.random.Generator) -> FloatArray:
    return random.choice(figures, (arms, seeds))


def _columns(pool: FloatArray, seeds: int, random: np.random.Generator) -> FloatArray:
    return pool[:, random.integers(pool.shape[1], size=seeds)]


def fixed(figures: FloatArray, rules: Rules) -> Standing:
    """Return the standing of arms that all have the same seeds. This function is the `Design` for fixed seeds."""
    arms, seeds = figures.shape
    return stand(Evidence(figures, rules.least), [seeds] * arms, rules)


def measure(trial: Trial) -> Errors:
    """Draw the sweeps of a trial, and return the trial's error rates.

    Every call with the same trial draws the same figures.
    """
    random, means = np.random.default_rng(0), trial.case.means
    behind = means.max() - means
    gain = np.zeros(len(means))
    for arm, base in trial.rules.pairs:
        gain[arm] = means[arm] - means[base]
    truth = np.where(np.abs(gain) > ROUNDING, np.sign(gain), 0)
    out, wrong, uncovered, answered, runs = np.zeros(len(truth), int), 0, 0, 0, 0
    for _ in range(trial.sweeps):
        standing = trial.design(trial.case.draw(trial.seeds, random), trial.rules)
        better = standing.baseline.better
        out += ~standing.in_set
        wrong += bool(((better != 0) & (better != truth)).any())
        uncovered += bool((standing.in_set & (behind > standing.bound + ROUNDING)).any())
        answered += standing.is_answered
        runs += int(standing.seeds.sum())
    return Errors(
        title=trial.case.title,
        verdict=Rate(wrong, trial.sweeps),
        best_out=Rate(int(out[behind <= ROUNDING].max()), trial.sweeps),
        bound=Rate(uncovered, trial.sweeps),
        runs=runs / trial.sweeps,
        answered=Rate(answered, trial.sweeps),
    )


def worst_and_median(errors: Sequence[Errors]) -> tuple[Errors, Errors]:
    """Return the errors of the worst trial and of the median trial.

    Trials are ranked by their number of false verdicts, and ties are broken by `best_out`.
    """
    ordered = sorted(errors, key=lambda row: (row.verdict.count, row.best_out.count))
    worst, median = ordered[-1], ordered[len(ordered) // 2]
    return replace(worst, title=f"{worst.title}: worst"), replace(median, title=f"{median.title}: median")


def paired_deviation(pool: FloatArray, rules: Rules) -> float | None:
    """Return the median, over all arms, of the standard deviation of an arm's differences from its baseline.

    Args:
        pool: figures of shape (arms, runs); the runs in a column have the same seed.
        rules: the rules of the comparison.

    Returns:
        The median, or None if each arm has only one run or no arm has a baseline to compare with.
    """
    if pool.shape[1] < 2 or not rules.pairs:
        return None
    return float(np.median([(pool[arm] - pool[base]).std(ddof=1) for arm, base in rules.pairs]))
