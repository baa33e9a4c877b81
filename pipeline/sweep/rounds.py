"""The rounds of the race: which runs are trained next, given the figures so far. No I/O, no clock, no chance.

Each arm begins with ten seeds. Then only arms whose figures can still tell something get more: the leader, those that
may still be more than the margin better than the leader, and the leader's baseline until it is known how the two
compare. The race ends when it is known which arm to use, or before it costs more than the budget. Decisions are made
when a round is complete, from figures alone: the same figures give the same rounds, whatever the number of workers and
however often the sweep was stopped. A larger budget continues where a smaller one has ended.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.comparison.anytime import FIRST, Evidence, FloatArray
from pipeline.comparison.standing import Rules, Standing, stand

BATCH = 16
"""The least number of runs in a later round: small rounds would leave workers without work."""
End = Literal["answered", "budget"]


@dataclass(frozen=True)
class Round:
    """The decisions at the end of a round."""

    standing: Standing
    trained: tuple[int, ...]
    """Arms to train in the next round."""
    target: int
    """Seeds that each of these arms has after it."""
    end: End | None
    """Why the race ends; None if it goes on."""

    @property
    def held(self) -> list[int]:
        """The number of seeds of each arm after the next round."""
        return [max(int(seeds), self.target) if arm in self.trained else int(seeds)
                for arm, seeds in enumerate(self.standing.seeds)]  # fmt: skip


def first_round(arms: int, budget: int) -> int:
    """Return the number of seeds in the first round: ten, or fewer if the budget is too small."""
    return min(FIRST, budget // arms)


def decide(evidence: Evidence, held: Sequence[int], rules: Rules, budget: int) -> Round:
    """Decide which arms to train after a round.

    Args:
        evidence: from the figures of all arms.
        held: the number of seeds of each arm.
        rules: of the comparison.
        budget: the most runs of the race.
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
    """Yield the rounds of a race that has been run; the last has an `end`.

    Args:
        figures: shape (arms, seeds), higher is better; NaN after an arm's last seed.
        rules: of the comparison.
        budget: the most runs of the race.
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
    """Return the standing at the end of a race; for the arguments see `replay`."""
    *_, last = replay(figures, rules, budget)
    return last.standing


def most_seeds(arms: int, budget: int) -> int:
    """Return the most seeds that an arm can get: if the rest of the budget is spent on it alone."""
    first = first_round(arms, budget)
    return max(first, budget - first * (arms - 1))
