"""A sweep with `seeds: auto`: each scheduler's base LR is chosen first, then they race on fresh seeds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.comparison.answer import rules
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import Group, comparable_figures, is_grid, own_rates
from pipeline.comparison.questions import Scale
from pipeline.runs.metric import Figures
from pipeline.runs.params import FIRST_SEEDS, Run
from pipeline.runs.records import Record
from pipeline.sweep.race import Round, decide, first_round


@dataclass(frozen=True)
class Auto:
    """What a sweep with `seeds: auto` is to find out."""

    baseline: str
    """The scheduler that the others are compared with."""
    scale: Scale
    """How they are compared."""
    budget: int
    """Runs that the race may take."""
    train: Callable[[Sequence[Run]], Sequence[Record]]
    """Trains runs, and returns their records in the same order."""
    score: Callable[[Sequence[Record]], Sequence[Figures]]
    """Scores trained runs on the test split, in the same order."""
    tell: Callable[[str], None]
    """Called with a line about each step."""

    def __call__(self, runs: Sequence[Run]) -> list[Record]:
        """Train a sweep, and return its records: those that choose base LRs first, then those of the race.

        Args:
            runs: one of each group; their seeds do not count.
        """
        tuned: list[Record] = []
        arms, fresh = list(runs), 0
        if is_grid(runs):
            tuned = [*self.train([run.with_seed(seed) for seed in FIRST_SEEDS for run in runs])]
            own = own_rates(tuned)
            arms, fresh = [run for run in runs if run.group in own], len(FIRST_SEEDS)
        return tuned + self._race(arms, fresh)

    def _race(self, arms: Sequence[Run], fresh: int) -> list[Record]:
        """Race arms on seeds from ``fresh`` on."""
        groups = [Group(arm.group, [], []) for arm in arms]
        asked = rules([arm.method for arm in arms], self.baseline, self.scale)
        held = [first_round(len(arms), self.budget)] * len(arms)
        number = 0
        while True:
            wanted = [
                (group, arm.with_seed(fresh + seed))
                for seed in range(max(held))
                for group, arm, seeds in zip(groups, arms, held, strict=True)
                if len(group.records) <= seed < seeds
            ]
            records = self.train([run for _, run in wanted])
            for (group, _), record, figures in zip(wanted, records, self.score(records), strict=True):
                group.records.append(record)
                group.test_figures.append(figures)
            evidence = Evidence(comparable_figures(groups, self.scale.metric), self.scale.least)
            now = decide(evidence, held, asked, self.budget)
            number += 1
            self.tell(_line(number, now, groups))
            if now.end is not None:
                return [record for group in groups for record in group.records]
            held = now.held


def _line(number: int, now: Round, groups: Sequence[Group]) -> str:
    """Return what is known after a round."""
    standing = now.standing
    leader = groups[standing.leader].name
    told = f"round {number}, {int(standing.seeds.sum())} runs: {leader} leads"
    if len(groups) > 1:
        told += f", {int(standing.in_set.sum())} of {len(groups)} may be the best"
    if now.end is None:
        names = [groups[arm].name for arm in now.trained]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return f"{told}; more seeds of {shown}"
    if now.end == "budget":
        return f"{told}; the budget is spent"
    return f"{told}, none by more than the margin; answered" if len(groups) > 1 else f"{told}; answered"
