"""The rounds of a race. After each round, the figures so far decide which runs to train next.

This module does no I/O, and uses neither a clock nor random numbers.

Each arm begins with ten seeds. After that, only arms that can still change the answer get more seeds: the leader, the
arms that may be better than the leader by more than the margin, and the leader's baseline, until the comparison between
the two is settled. The race ends when it is known which arm to use, or when another round would exceed the budget. If
the user raises the budget later, the race continues after the last round. The decisions depend only on the figures of
complete rounds, so neither the number of workers nor an interruption affects them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.comparison.anytime import FIRST, Evidence, FloatArray
from pipeline.comparison.standing import Rules, Standing, stand

BATCH = 16
"""The minimum number of runs in each round after the first round; in smaller rounds, workers would be idle."""
End = Literal["answered", "budget"]


@dataclass(frozen=True)
class Round:
    """The standing at the end of a round, and the decision about which arms to train in the next round."""

    standing: Standing
    trained: tuple[int, ...]
    """The arms to train in the next round."""
    target: int
    """The number of seeds that each arm in `trained` will have after the next round."""
    end: End | None
    """The reason why the race ends, or None if the race continues."""

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

    ``held`` contains the number of seeds of each arm; ``budget`` is the maximum number of runs in the race.
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
    """Replay a race from the figures of its runs; yield its rounds until it ends or ``figures`` has no more seeds.

    ``figures`` has the shape (arms, seeds). Higher figures are better; figures after an arm's last seed are NaN.
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
    """Return the standing at the end of a race whose runs have been trained; see `replay` for the arguments."""
    *_, last = replay(figures, rules, budget)
    return last.standing


def most_seeds(arms: int, budget: int) -> int:
    """Return the maximum number of seeds that an arm can have.

    An arm gets this many seeds if no other arm is trained after the first round.
    """
    first = first_round(arms, budget)
    return max(first, budget - first * (arms - 1))
