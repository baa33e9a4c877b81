"""What figures say of each arm: may it be the best, what may it lose, is it better than its baseline? No I/O.

An arm is a scheduler with an optimizer, at its own base LR. Figures are so that higher is better.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.comparison.anytime import Evidence, Figures
from pipeline.comparison.statistics import LEVEL, holm

ERROR = 1 - LEVEL
"""Chance that anything said of the set and its bounds is wrong, and again of the verdicts on baselines."""


@dataclass(frozen=True)
class Rules:
    """What is asked of the arms.

    Arms are known by their position, from 0.
    """

    baselines: tuple[int | None, ...]
    """The baseline of each arm, which is trained with the same optimizer; None where there is none. A baseline's own
    is itself."""
    margin: float
    """The smallest difference worth having."""
    least: float = 0.0
    """Standard deviation that differences have at least: one test example, for an accuracy."""

    @property
    def compared(self) -> list[tuple[int, int]]:
        """Each arm that has a baseline other than itself, with that baseline."""
        return [(arm, base) for arm, base in enumerate(self.baselines) if base is not None and base != arm]


@dataclass(frozen=True)
class Compared:
    """Pairs of rows compared together. Arrays have an entry for each pair; differences are first minus second."""

    better: NDArray[np.intp]
    """1 if the first is better, -1 if it is worse, 0 if neither is shown after Holm's correction."""
    adjusted: Figures
    """The p-value of that, two-sided and corrected."""
    low: Figures
    """Lower end of the difference's interval; all intervals hold together with a confidence of `LEVEL`."""
    high: Figures


@dataclass(frozen=True)
class Standing:
    """What the figures say after some seeds of each arm. Arrays have an entry for each arm."""

    held: NDArray[np.intp]
    """Its seeds."""
    in_set: NDArray[np.bool_]
    """True if it may be the best: the set has the best in it with a confidence of `LEVEL`."""
    bound: Figures
    """How much better any arm can be than it, at most, with the same confidence, all of the set together; infinite
    where it is out, or where there are too few seeds to tell."""
    leader: int
    """The best mean among those of the set with the most seeds."""
    over_leader: Figures
    """How much better it can be than the leader, at most."""
    baseline: Compared
    """Each arm compared with its baseline."""
    rules: Rules

    def is_good_enough(self, arm: int) -> bool:
        """Return True if no arm is more than the margin better."""
        return bool(self.bound[arm] <= self.rules.margin)

    @property
    def is_baseline_settled(self) -> bool:
        """True if the leader is a baseline, is better than its own, or at most the margin better than it."""
        base = self.rules.baselines[self.leader]
        if base is None or base == self.leader:
            return True
        is_better = self.baseline.better[self.leader] == 1
        return bool(is_better or self.baseline.high[self.leader] <= self.rules.margin)

    @property
    def is_answered(self) -> bool:
        """True if it is known what to use: the leader is good enough, and so much is known of its baseline."""
        is_known = self.is_good_enough(self.leader) or int(self.in_set.sum()) == 1
        return is_known and self.is_baseline_settled


def stand(evidence: Evidence, held: Sequence[int], rules: Rules) -> Standing:
    """Return what the evidence says of arms that have ``held`` seeds each; at least one arm, and one seed of each."""
    seeds = np.asarray(held, int)
    k, most = len(seeds), seeds.max()
    p, level = evidence.p(seeds), ERROR / max(k - 1, 1)
    np.fill_diagonal(p, 1.0)
    mean = np.round(_against_longest(evidence, seeds), 12)  # a tie is a tie, whatever the order of the sums
    in_set: NDArray[np.bool_] = np.logical_not((p <= level).any(axis=0))
    if not in_set.any():  # each is beaten by another: the figures contradict each other, and one must stay
        in_set[np.where(seeds == most, mean, -np.inf).argmax()] = True
    leader = int(np.where(in_set & (seeds == most), mean, -np.inf).argmax())
    upper = evidence.upper(seeds, level)
    bound = np.where(in_set, np.maximum(np.where(in_set[:, None], upper, -np.inf).max(0), 0.0), np.inf)
    compared = _against_baselines(evidence, seeds, rules)
    return Standing(seeds, in_set, bound, leader, upper[:, leader], compared, rules)


def _against_longest(evidence: Evidence, seeds: NDArray[np.intp]) -> Figures:
    """Return the mean difference of each arm to the first of those with the most seeds."""
    return evidence.mean(seeds)[:, int(seeds.argmax())]


def compare(evidence: Evidence, held: NDArray[np.intp], pairs: Sequence[tuple[int, int]]) -> Compared:
    """Compare pairs of rows that have ``held`` seeds each; at least one pair."""
    first, second = np.array(pairs).T
    p = evidence.p(held)
    above, below = p[first, second], p[second, first]
    adjusted = holm(np.minimum(1.0, 2 * np.minimum(above, below)))
    better = np.where(adjusted <= ERROR, np.where(above < below, 1, -1), 0)
    upper = evidence.upper(held, ERROR / (2 * len(pairs)))
    return Compared(better, adjusted, -upper[second, first], upper[first, second])


def _against_baselines(evidence: Evidence, seeds: NDArray[np.intp], rules: Rules) -> Compared:
    """Compare each arm with its baseline; nothing is known of one that has none."""
    k = len(seeds)
    found = Compared(np.zeros(k, int), np.ones(k), np.full(k, -math.inf), np.full(k, math.inf))
    if rules.compared:
        arms = [arm for arm, _ in rules.compared]
        those = compare(evidence, seeds, rules.compared)
        found.better[arms], found.adjusted[arms] = those.better, those.adjusted
        found.low[arms], found.high[arms] = those.low, those.high
    return found
