"""Calibration: how often statements about arms are wrong when the truth is known. No I/O.

Figures are simulated, or drawn from a pool of real runs, whose means are then the truth. The statements come from the
code that sweeps use. Higher figures are better.
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
"""Smaller differences of true means, and of bounds, are rounding."""
Draw = Callable[[int, np.random.Generator], FloatArray]
"""Draws a sweep with the given number of seeds: shape (arms, seeds)."""
Design = Callable[[FloatArray, Rules], Standing]
"""Returns the standing for figures of shape (arms, seeds): from all seeds, or from as many as a race takes."""


@dataclass(frozen=True)
class Rate:
    """A number of sweeps out of all."""

    count: int
    sweeps: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.count / self.sweeps

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95% interval of the share.

        Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
        binomial".
        """
        interval = stats.binomtest(self.count, self.sweeps).proportion_ci(LEVEL, method="exact")
        return float(interval.low), float(interval.high)


@dataclass(frozen=True)
class Case:
    """A kind of sweep with known truth."""

    title: str
    means: FloatArray
    """The true mean of each arm."""
    draw: Draw


@dataclass(frozen=True, eq=False)
class Trial:
    """An experiment: sweeps of one case, each judged by one design."""

    case: Case
    design: Design
    seeds: int
    """Seeds drawn for each arm; a race may take fewer."""
    rules: Rules
    sweeps: int
    """Number of sweeps to draw."""


@dataclass(frozen=True)
class Errors:
    """The error rates of a trial."""

    title: str
    verdict: Rate
    """An arm was called better or worse than its baseline, and is not."""
    best_out: Rate
    """The best arm was not in the set of the best; of several equally good arms, the one with the most such errors."""
    bound: Rate
    """An arm of the set is further behind the best than its bound."""
    runs: float
    """Mean number of runs of a sweep."""
    answered: Rate
    """The sweep found out what to use."""


def alike(arms: int, deviation: float = 1.0) -> Case:
    """Return sweeps with normal figures of equally good arms.

    The seed contributes half of the variance to all arms alike, as initial weights may do.

    Args:
        arms: number in each sweep.
        deviation: standard deviation of the figures.
    """
    return Case("normal, all alike", np.zeros(arms), partial(_normal, arms, deviation))


def copies(name: str, figures: FloatArray, arms: int) -> Case:
    """Return sweeps of one scheduler under several names: each figure is drawn from its real runs, with replacement.

    Args:
        name: of the scheduler.
        figures: shape (runs,).
        arms: number in each sweep.
    """
    return Case(f"{name}, copied", np.zeros(arms), partial(_copied, np.asarray(figures, float), arms))


def recentred(pool: FloatArray) -> Case:
    """Return sweeps of real runs, shape (arms, runs), moved to one mean: arms differ in their tails alone.

    Whole columns are drawn, with replacement: runs of one seed stay together.
    """
    return Case("real runs, one mean", np.zeros(len(pool)), partial(_columns, pool - pool.mean(1, keepdims=True)))


def as_they_are(pool: FloatArray) -> Case:
    """Return sweeps of real runs, shape (arms, runs), drawn as in `recentred`; their means are the true ones."""
    return Case("real runs, as they are", pool.mean(1), partial(_columns, pool))


def _normal(arms: int, deviation: float, seeds: int, random: np.random.Generator) -> FloatArray:
    figures: FloatArray = random.normal(size=seeds) + random.normal(size=(arms, seeds))
    return deviation / math.sqrt(2) * figures


def _copied(figures: FloatArray, arms: int, seeds: int, random: np.random.Generator) -> FloatArray:
    return random.choice(figures, (arms, seeds))


def _columns(pool: FloatArray, seeds: int, random: np.random.Generator) -> FloatArray:
    return pool[:, random.integers(pool.shape[1], size=seeds)]


def fixed(figures: FloatArray, rules: Rules) -> Standing:
    """Return the standing of arms that all have the same seeds: the `Design` without a race."""
    arms, seeds = figures.shape
    return stand(Evidence(figures, rules.least), [seeds] * arms, rules)


def measure(trial: Trial) -> Errors:
    """Draw the sweeps of a trial, and count the wrong statements. The same trial gives the same figures."""
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
    """Return the errors with the most false verdicts, and the median; ties are broken by the best ruled out."""
    ordered = sorted(errors, key=lambda row: (row.verdict.count, row.best_out.count))
    worst, median = ordered[-1], ordered[len(ordered) // 2]
    return replace(worst, title=f"{worst.title}: worst"), replace(median, title=f"{median.title}: median")


def paired_deviation(pool: FloatArray, rules: Rules) -> float | None:
    """Return the standard deviation of the differences from the baseline, the median over arms.

    Args:
        pool: shape (arms, runs); runs of one column share their seed.
        rules: which arms are compared with which.

    Returns:
        None for one run of each arm, or if nothing is compared.
    """
    if pool.shape[1] < 2 or not rules.pairs:
        return None
    return float(np.median([(pool[arm] - pool[base]).std(ddof=1) for arm, base in rules.pairs]))
