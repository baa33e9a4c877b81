"""Finds which arms may be the best, how far behind the best they can be, and how arms compare with baselines.

An arm is a scheduler with an optimizer, at the base LR chosen for this pair. Higher figures are better. No I/O.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.anytime import Evidence, FloatArray
from pipeline.comparison.statistics import LEVEL, holm

ERROR = 1 - LEVEL
"""The maximum probability of at least one wrong statement about which arms may be the best, or about their bounds.

`ERROR` is also the maximum probability that at least one comparison with a baseline gives a wrong verdict.
"""


@dataclass(frozen=True)
class Rules:
    """The rules of a comparison. Arms are numbered from 0."""

    baselines: tuple[int | None, ...]
    """For each arm, the baseline with the same optimizer, or None if the sweep has no such baseline.

    A baseline is its own baseline.
    """
    margin: float
    """The smallest difference that matters."""
    least: float = 0.0
    """Lower limit for the standard deviation of differences. For an accuracy, it is 1 / (number of test examples)."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """For each arm that has a baseline other than itself, the pair of that arm and its baseline."""
        return [(arm, base) for arm, base in enumerate(self.baselines) if base is not None and base != arm]


@dataclass(frozen=True)
class PairResults:
    """The results of comparing pairs of rows, corrected for the number of pairs.

    Each array has one entry for each pair. A difference is the figure of the first row minus the figure of the second
    row.
    """

    better: NDArray[np.intp]
    """1 if the first row is better, -1 if it is worse, 0 if the test shows neither after Holm's correction."""
    adjusted: FloatArray
    """Two-sided p-values with Holm's correction."""
    low: FloatArray
    """The lower end of the confidence interval for the difference. With a confidence of `LEVEL`, all intervals hold."""
    high: FloatArray
    """The upper end of the confidence interval for the difference."""


@dataclass(frozen=True)
class Standing:
    """The standing of arms, given the seeds trained so far. Each array has one entry for each arm."""

    seeds: NDArray[np.intp]
    """The number of seeds of the arm."""
    in_set: NDArray[np.bool_]
    """True if the arm may be the best. With a confidence of `LEVEL`, the best arm is one of these arms."""
    bound: FloatArray
    """Upper bound on how much better any other arm can be than this arm.

    With a confidence of `LEVEL`, the bounds of all arms that may be the best are right. The bound is infinite if the
    arm is ruled out as the best, or if there are too few seeds.
    """
    leader: int
    """The arm with the best mean among the arms that have the most seeds and may be the best."""
    over_leader: FloatArray
    """Upper bound on how much better the arm can be than the leader."""
    baseline: PairResults
    """The comparison of each arm with its baseline."""
    rules: Rules

    def is_good_enough(self, arm: int) -> bool:
        """Return True if no other arm can be better than this arm by more than the margin."""
        return bool(self.bound[arm] <= self.rules.margin)

    @property
    def is_baseline_settled(self) -> bool:
        """True if the leader beats its baseline, or if it can be better than the baseline by no more than the margin.

        The result is also True if the leader is a baseline or has no baseline.
        """
        base = self.rules.baselines[self.leader]
        if base is None or base == self.leader:
            return True
        is_better = self.baseline.better[self.leader] == 1
        return bool(is_better or self.baseline.high[self.leader] <= self.rules.margin)

    @property
    def is_answered(self) -> bool:
        """True if the comparison of arms has an answer.

        The leader must be good enough or the only arm that may be the best, and the leader's comparison with its
        baseline must be settled.
        """
        is_known = self.is_good_enough(self.leader) or int(self.in_set.sum()) == 1
        return is_known and self.is_baseline_settled


def stand(evidence: Evidence, seeds_of_each: Sequence[int], rules: Rules) -> Standing:
    """Judge arms on the evidence, and return their standing. At least one arm and one seed are needed."""
    seeds = np.asarray(seeds_of_each, int)
    k, most = len(seeds), seeds.max()
    p, level = evidence.p(seeds), ERROR / max(k - 1, 1)
    np.fill_diagonal(p, 1.0)
    mean = np.round(evidence.mean(seeds)[:, int(seeds.argmax())], 12)  # rounding errors must not break a tie
    in_set: NDArray[np.bool_] = np.logical_not((p <= level).any(axis=0))
    if not in_set.any():  # if every arm is beaten by another arm, keep the arm with the best mean
        in_set[np.where(seeds == most, mean, -np.inf).argmax()] = True
    leader = int(np.where(in_set & (seeds == most), mean, -np.inf).argmax())
    upper = evidence.upper(seeds, level)
    bound = np.where(in_set, np.maximum(np.where(in_set[:, None], upper, -np.inf).max(0), 0.0), np.inf)
    return Standing(seeds, in_set, bound, leader, upper[:, leader], _against_baselines(evidence, seeds, rules), rules)


def compare_pairs(evidence: Evidence, seeds: NDArray[np.intp], pairs: Sequence[tuple[int, int]]) -> PairResults:
    """Return the results of comparing pairs of rows. At least one pair is needed."""
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
