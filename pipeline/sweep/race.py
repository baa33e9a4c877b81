"""The race: which runs are trained next, given the figures that there are. No I/O, no clock, no chance.

Each arm begins with ten seeds. Then only those are trained on which tell something: the leader, those that may still be
more than the margin better than it, and its baseline until it is known how the two compare. It ends once it is known
what to use, or before it costs more than the budget. Decisions are made when a round is complete, from figures alone:
the same figures give the same rounds, whatever the number of workers and however often the sweep was stopped. A larger
budget goes on from where a smaller one has ended.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.comparison.anytime import FIRST, Evidence, FloatArray
from pipeline.comparison.standing import Rules, Standing, stand

BATCH = 16
"""Runs of a later round, at least: small rounds would leave workers without work."""
End = Literal["answered", "budget"]


@dataclass(frozen=True)
class Round:
    """What is decided when a round is complete."""

    standing: Standing
    trained: tuple[int, ...]
    """Arms that the next round trains."""
    target: int
    """Seeds that they shall have then."""
    end: End | None
    """Why the race ends here; None if it goes on."""

    @property
    def held(self) -> list[int]:
        """Seeds of each arm after the next round."""
        return [max(int(seeds), self.target) if arm in self.trained else int(seeds)
                for arm, seeds in enumerate(self.standing.seeds)]  # fmt: skip


def first_round(arms: int, budget: int) -> int:
    """Return the seeds that each arm begins with; a budget too small for ten gives fewer."""
    return min(FIRST, budget // arms)


def decide(evidence: Evidence, held: Sequence[int], rules: Rules, budget: int) -> Round:
    """Decide what is trained after a round.

    Args:
        evidence: of the figures of all arms.
        held: seeds of each arm that count.
        rules: what is asked.
        budget: runs that the race may cost.
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
    """Yield the rounds of a race that was run, the last with its end.

    Args:
        figures: shape (arms, seeds), higher is better; NaN after an arm's last seed.
        rules: what was asked.
        budget: runs that it might cost.
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
    """Return what is known at the end of a race; the arguments are those of `replay`."""
    *_, last = replay(figures, rules, budget)
    return last.standing


def most_seeds(arms: int, budget: int) -> int:
    """Return the seeds that an arm has at the most, if the budget is spent on it alone."""
    first = first_round(arms, budget)
    return max(first, budget - first * (arms - 1))
