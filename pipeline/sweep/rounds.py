"""The rounds of the race: decide from the figures so far which runs to train next. No I/O, no clock, no randomness.

Each arm begins with ten seeds. Then only arms that can still change the answer get more seeds: the leader, the arms
that may be better than the leader by more than the margin, and the leader's baseline until the comparison of the two is
settled. The race ends when it is known which arm to use, or when another round would exceed the budget; if the budget
is then raised, the race continues from there. Decisions depend only on the figures of complete rounds, so neither the
number of workers nor an interruption affects them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.comparison.anytime import FIRST, Evidence, FloatArray
from pipeline.comparison.standing import Rules, Standing, stand

BATCH = 16
"""The minimum number of runs in each round after the first, because small rounds would leave workers idle."""
End = Literal["answered", "budget"]


@dataclass(frozen=True)
class Round:
    """The decisions at the end of a round."""

    standing: Standing
    trained: tuple[int, ...]
    """The arms to train in the next round."""
    target: int
    """The number of seeds that each of these arms will have after the next round."""
    end: End | None
    """Why the race ends; None if it continues."""

    @property
    def held(self) -> list[int]:
        """The number of seeds that each arm will have after the next round."""
        held = [int(seeds) for seeds in self.standing.seeds]
        for arm in self.trained:
            held[arm] = max(held[arm], self.target)
        return held


def first_round(arms: int, budget: int) -> int:
    """Return the number of seeds of each arm in the first round: ten, or fewer if the budget is too small."""
    return min(FIRST, budget // arms)


def decide(evidence: Evidence, held: Sequence[int], rules: Rules, budget: int) -> Round:
    """Decide which arms to train after a round.

    ``held`` is the number of seeds that each arm has, and ``budget`` is the largest number of runs in the race.
    """
    standing = stand(evidence, held, rules)
    if standing.is_answered or len(held) == 1:
        return Round(standing, (), max(held), "answered")
    trained = standing.in_set & (standing.over_leader > rules.margin)
    trained[standing.leader] = True
    base = rules.baselines[standing.leader]
    if base is not None and not standing.is_baseline_settled:
        trained[base] = True
    arms = tuple(int(arm) for arm in np.flatnonzero(trained))
    target = max(held) + max(1, math.ceil(BATCH / len(arms)))
    goes_on = Round(standing, arms, target, None)
    if sum(goes_on.held) > budget or max(held) < FIRST:
        return Round(standing, (), max(held), "budget")
    return goes_on


def replay(figures: FloatArray, rules: Rules, budget: int) -> Iterator[Round]:
    """Yield the rounds of a race that has been run, until it ends or there are no more figures.

    ``figures`` has the shape (arms, seeds); higher figures are better. They are NaN after the last seed of an arm.
    """
    held = [first_round(len(figures), budget)] * len(figures)
    evidence = Evidence(figures, rules.least)
    while True:
        now = decide(evidence, held, rules, budget)
        yield now
        if now.end is not None or max(now.held) > np.isfinite(figures).sum(1).max():
            return
        held = now.held


def outcome(figures: FloatArray, rules: Rules, budget: int) -> Standing:
    """Return the standing at the end of a race that has been run; see `replay` for the arguments."""
    *_, last = replay(figures, rules, budget)
    return last.standing


def most_seeds(arms: int, budget: int) -> int:
    """Return the number of seeds that an arm can get at most, if no other arm gets any after the first round."""
    first = first_round(arms, budget)
    return max(first, budget - first * (arms - 1))
