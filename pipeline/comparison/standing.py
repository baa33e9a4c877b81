"""The standing of arms: which may be the best, how far behind each can be, and how each compares with its baseline.

An arm is a scheduler with an optimizer, at its own base LR. Higher figures are better. No I/O.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.anytime import Evidence, FloatArray
from pipeline.comparison.statistics import LEVEL, holm

ERROR = 1 - LEVEL
"""Highest chance of any wrong statement about the set or its bounds, and of any wrong verdict against a baseline."""


@dataclass(frozen=True)
class Rules:
    """The rules of a comparison. Arms are numbered from 0."""

    baselines: tuple[int | None, ...]
    """For each arm, the baseline with the same optimizer, or None if not trained. A baseline is its own baseline."""
    margin: float
    """The smallest difference that matters."""
    least: float = 0.0
    """Lower limit for the standard deviation of differences; for an accuracy, the share of a single test example."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Each arm that has a baseline other than itself, paired with that baseline."""
        return [(arm, base) for arm, base in enumerate(self.baselines) if base is not None and base != arm]


@dataclass(frozen=True)
class PairResults:
    """The results of pairs of rows that are compared together.

    Arrays have an entry for each pair. A difference is the figure of the first row minus that of the second.
    """

    better: NDArray[np.intp]
    """1 if the first row is better, -1 if it is worse, 0 if the test shows neither after Holm's correction."""
    adjusted: FloatArray
    """Two-sided p-values with Holm's correction."""
    low: FloatArray
    """Lower end of the interval of the difference. All intervals hold jointly, with a confidence of `LEVEL`."""
    high: FloatArray
    """Upper end of the interval of the difference."""


@dataclass(frozen=True)
class Standing:
    """The standing of arms, given the seeds that each arm has so far. Arrays have an entry for each arm."""

    seeds: NDArray[np.intp]
    """The number of seeds of the arm."""
    in_set: NDArray[np.bool_]
    """True if the arm may be the best. The set of these arms contains the best arm with a confidence of `LEVEL`."""
    bound: FloatArray
    """Upper bound on how much better any other arm can be.

    The bounds of all arms in the set hold jointly, with a confidence of `LEVEL`. The bound is infinite outside the set,
    or with too few seeds.
    """
    leader: int
    """The arm with the best mean among those arms of the set that have the most seeds."""
    over_leader: FloatArray
    """Upper bound on how much better than the leader the arm can be."""
    baseline: PairResults
    """The comparison of each arm with its baseline."""
    rules: Rules

    def is_good_enough(self, arm: int) -> bool:
        """Return True if no other arm can be better by more than the margin."""
        return bool(self.bound[arm] <= self.rules.margin)

    @property
    def is_baseline_settled(self) -> bool:
        """True if the leader beats its baseline, or can be better than the baseline by at most the margin.

        It is also True if the leader is a baseline or has no baseline.
        """
        base = self.rules.baselines[self.leader]
        if base is None or base == self.leader:
            return True
        is_better = self.baseline.better[self.leader] == 1
        return bool(is_better or self.baseline.high[self.leader] <= self.rules.margin)

    @property
    def is_answered(self) -> bool:
        """True if the leader is good enough or alone in the set, and its comparison with its baseline is settled."""
        is_known = self.is_good_enough(self.leader) or int(self.in_set.sum()) == 1
        return is_known and self.is_baseline_settled


def stand(evidence: Evidence, seeds_of_each: Sequence[int], rules: Rules) -> Standing:
    """Return the standing of arms from the evidence. There must be at least one arm, with at least one seed."""
    seeds = np.asarray(seeds_of_each, int)
    k, most = len(seeds), seeds.max()
    p, level = evidence.p(seeds), ERROR / max(k - 1, 1)
    np.fill_diagonal(p, 1.0)
    mean = np.round(evidence.mean(seeds)[:, int(seeds.argmax())], 12)  # rounding errors must not break a tie
    in_set: NDArray[np.bool_] = np.logical_not((p <= level).any(axis=0))
    if not in_set.any():  # every arm is beaten by another, a contradiction, so the arm with the best mean is kept
        in_set[np.where(seeds == most, mean, -np.inf).argmax()] = True
    leader = int(np.where(in_set & (seeds == most), mean, -np.inf).argmax())
    upper = evidence.upper(seeds, level)
    bound = np.where(in_set, np.maximum(np.where(in_set[:, None], upper, -np.inf).max(0), 0.0), np.inf)
    return Standing(seeds, in_set, bound, leader, upper[:, leader], _against_baselines(evidence, seeds, rules), rules)


def compare_pairs(evidence: Evidence, seeds: NDArray[np.intp], pairs: Sequence[tuple[int, int]]) -> PairResults:
    """Return the comparisons of pairs of rows. At least one pair is needed."""
    first, second = np.array(pairs).T
    p = evidence.p(seeds)
    above, below = p[first, second], p[second, first]
    adjusted = holm(np.minimum(1.0, 2 * np.minimum(above, below)))
    better = np.where(adjusted <= ERROR, np.where(above < below, 1, -1), 0)
    upper = evidence.upper(seeds, ERROR / (2 * len(pairs)))
    return PairResults(better, adjusted, -upper[second, first], upper[first, second])


def _against_baselines(evidence: Evidence, seeds: NDArray[np.intp], rules: Rules) -> PairResults:
    """Return the comparison of each arm with its baseline. An arm without a baseline has an infinite interval."""
    k = len(seeds)
    results = PairResults(np.zeros(k, int), np.ones(k), np.full(k, -math.inf), np.full(k, math.inf))
    if rules.pairs:
        arms = [arm for arm, _ in rules.pairs]
        known = compare_pairs(evidence, seeds, rules.pairs)
        results.better[arms], results.adjusted[arms] = known.better, known.adjusted
        results.low[arms], results.high[arms] = known.low, known.high
    return results
