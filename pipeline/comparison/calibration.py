"""Calibration: how often what is said of arms is wrong, where the truth is known. No I/O.

Figures are made up, or drawn from a pool of real runs, whose means are the truth then. What is said of them comes from
the code that sweeps use. Figures are so that higher is better.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy import stats

from pipeline.comparison.anytime import Evidence, Figures
from pipeline.comparison.standing import Rules, Standing, stand
from pipeline.comparison.statistics import LEVEL, detectable

SEEDS = (3, 5, 10, 20, 50)
"""Numbers of seeds for which the power table gives the detectable difference."""
ROUNDING = 1e-12
"""Smaller differences of true means, and of bounds, are rounding."""
Draw = Callable[[int, np.random.Generator], Figures]
"""Draws a sweep with so many seeds: shape (arms, seeds)."""
Design = Callable[[Figures, Rules], Standing]
"""Says what is known of figures, shape (arms, seeds): from all seeds, or from as many as a race takes."""


@dataclass(frozen=True)
class Rate:
    """A share of sweeps, and what it leaves open."""

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
        found = stats.binomtest(self.count, self.sweeps).proportion_ci(LEVEL, method="exact")
        return float(found.low), float(found.high)


@dataclass(frozen=True)
class Case:
    """Sweeps whose truth is known."""

    title: str
    means: Figures
    """The true mean of each arm."""
    draw: Draw


@dataclass(frozen=True)
class Errors:
    """How often what was said of sweeps was wrong."""

    title: str
    verdict: Rate
    """Any arm was called better or worse than its baseline, and is not."""
    best_out: Rate
    """The best was not in the set of the best; of several that are equally good, the one that this befell most."""
    bound: Rate
    """An arm of the set is further behind the best than its bound."""
    runs: float
    """Mean number of runs of a sweep."""
    answered: Rate
    """It was known what to use."""


@dataclass(frozen=True)
class DetectableDifference:
    """The smallest difference that a number of seeds detects four times out of five."""

    seeds: int
    comparisons: int
    """Number made together."""
    deviations: float
    """The difference in standard deviations of paired differences."""
    difference: float | None
    """The difference in units of the metric; None if that standard deviation is not known."""


def alike(arms: int, deviation: float = 1.0) -> Case:
    """Return sweeps with normal figures of arms that are all the same.

    Half of the variance belongs to the seed and is common to all arms, as that of initial weights may be: an unpaired
    test would detect too little.

    Args:
        arms: number in each sweep.
        deviation: standard deviation of the figures.
    """
    return Case("normal, all alike", np.zeros(arms), partial(_normal, arms, deviation))


def copies(name: str, figures: Figures, arms: int) -> Case:
    """Return sweeps of one scheduler under other names: each figure is drawn from its real runs, with replacement.

    Args:
        name: of the scheduler.
        figures: shape (runs,).
        arms: number in each sweep.
    """
    return Case(f"{name}, copied", np.zeros(arms), partial(_copied, np.asarray(figures, float), arms))


def recentred(pool: Figures) -> Case:
    """Return sweeps of real runs, shape (arms, runs), moved to one mean: the arms differ in their tails alone.

    Whole columns are drawn, with replacement: runs of one seed stay together.
    """
    moved = pool - pool.mean(1, keepdims=True)
    return Case("real runs, one mean", np.zeros(len(pool)), partial(_columns, moved))


def as_they_are(pool: Figures) -> Case:
    """Return sweeps of real runs, shape (arms, runs), drawn as `recentred` draws them; each mean is the true one."""
    return Case("real runs, as they are", pool.mean(1), partial(_columns, pool))


def _normal(arms: int, deviation: float, seeds: int, random: np.random.Generator) -> Figures:
    figures: Figures = random.normal(size=seeds) + random.normal(size=(arms, seeds))
    return deviation / math.sqrt(2) * figures


def _copied(figures: Figures, arms: int, seeds: int, random: np.random.Generator) -> Figures:
    return random.choice(figures, (arms, seeds))


def _columns(pool: Figures, seeds: int, random: np.random.Generator) -> Figures:
    return pool[:, random.integers(pool.shape[1], size=seeds)]


def fixed(figures: Figures, rules: Rules) -> Standing:
    """Say what is known of arms that all have the same seeds: the `Design` without a race."""
    arms, seeds = figures.shape
    return stand(Evidence(figures, rules.least), [seeds] * arms, rules)


def measure(case: Case, design: Design, seeds: int, rules: Rules, sweeps: int) -> Errors:
    """Draw sweeps, and count those in which what is said is wrong. The same arguments give the same figures.

    Args:
        case: what is drawn.
        design: what says something of it.
        seeds: that are drawn for each arm; a race may take fewer.
        rules: what is asked of the arms.
        sweeps: how many are drawn.
    """
    random = np.random.default_rng(0)
    behind = case.means.max() - case.means
    gain = np.zeros(len(case.means))
    for arm, base in rules.compared:
        gain[arm] = case.means[arm] - case.means[base]
    truth = np.where(np.abs(gain) > ROUNDING, np.sign(gain), 0)
    out, wrong, uncovered, answered, runs = np.zeros(len(truth), int), 0, 0, 0, 0
    for _ in range(sweeps):
        said = design(case.draw(seeds, random), rules)
        out += ~said.in_set
        wrong += bool(((said.baseline.better != 0) & (said.baseline.better != truth)).any())
        uncovered += bool((said.in_set & (behind > said.bound + ROUNDING)).any())
        answered += said.is_answered
        runs += int(said.held.sum())
    best_out = int(out[behind <= ROUNDING].max())
    return Errors(
        title=case.title,
        verdict=Rate(wrong, sweeps),
        best_out=Rate(best_out, sweeps),
        bound=Rate(uncovered, sweeps),
        runs=runs / sweeps,
        answered=Rate(answered, sweeps),
    )


@dataclass(frozen=True, eq=False)
class Trial:
    """The arguments of `measure`, as a piece of work."""

    case: Case
    design: Design
    seeds: int
    rules: Rules
    sweeps: int

    def __call__(self) -> Errors:
        return measure(self.case, self.design, self.seeds, self.rules, self.sweeps)


def worst_and_median(found: Sequence[Errors]) -> tuple[Errors, Errors]:
    """Return the errors with the most false verdicts, and those in the middle; the best ruled out decides ties."""
    ordered = sorted(found, key=lambda each: (each.verdict.count, each.best_out.count))
    worst, median = ordered[-1], ordered[len(ordered) // 2]
    return replace(worst, title=f"{worst.title}: worst"), replace(median, title=f"{median.title}: median")


def fewest_seeds(share: float, drawn: Sequence[Figures], design: Design, rules: Rules) -> int | None:
    """Return the fewest seeds with which a fixed design answers a share of sweeps; None if all are too few.

    Args:
        share: from 0 to 1.
        drawn: sweeps, each of shape (arms, seeds); their first seeds are used.
        design: says what is known of figures that all have the same seeds.
        rules: what is asked of the arms.
    """

    def answers(seeds: int) -> bool:
        answered = [design(figures[:, :seeds], rules).is_answered for figures in drawn]
        return float(np.mean(answered)) >= share

    most = drawn[0].shape[1]
    found = bisect_left(range(most + 1), True, lo=2, key=answers)
    return found if found <= most else None


def paired_deviation(pool: Figures, rules: Rules) -> float | None:
    """Return the standard deviation of the differences to the baseline, the median of all arms.

    Args:
        pool: shape (arms, runs); runs of one column share their seed.
        rules: which arms are compared with which.

    Returns:
        None for one run of each, or if nothing is compared.
    """
    if pool.shape[1] < 2 or not rules.compared:
        return None
    return float(np.median([(pool[arm] - pool[base]).std(ddof=1) for arm, base in rules.compared]))


def power_table(seeds: Sequence[int], comparisons: int, deviation: float | None = None) -> list[DetectableDifference]:
    """Return the difference that each number of seeds detects.

    Args:
        seeds: the numbers, each at least 2.
        comparisons: number made together.
        deviation: standard deviation of paired differences, in units of the metric.
    """
    rows = []
    for count in seeds:
        smallest = detectable(count, comparisons)
        rows.append(
            DetectableDifference(count, comparisons, smallest, None if deviation is None else smallest * deviation)
        )
    return rows
