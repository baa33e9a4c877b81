"""Code that trains a sweep with `seeds: auto`.

If the sweep has several base LRs, one is first chosen for each arm, and the arms then race on new seeds. Otherwise, the
race starts at once.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.comparison.answer import rules
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import Group, comparable_figures, is_grid, own_rates
from pipeline.comparison.questions import Scale
from pipeline.runs.metric import Figures
from pipeline.runs.params import FIRST_SEEDS, Run
from pipeline.runs.records import Record
from pipeline.sweep.rounds import Round, decide, first_round


@dataclass(frozen=True)
class Auto:
    """Trains a sweep with `seeds: auto`."""

    baseline: str
    """The scheduler that the other schedulers are compared with."""
    scale: Scale
    """The metric and the margin of the comparison."""
    budget: int
    """The maximum number of runs in the race."""
    train: Callable[[Sequence[Run]], Sequence[Record]]
    """Trains runs and returns their records in the order of the runs."""
    score: Callable[[Sequence[Record]], Sequence[Figures]]
    """Scores trained runs on the test split and returns their figures in the order of the records."""
    tell: Callable[[str], None]
    """Prints a line for the user after each round."""

    def __call__(self, runs: Sequence[Run]) -> list[Record]:
        """Train a sweep and return the records of all its runs; ``runs`` contains one run of each group.

        The records that were used to choose base LRs come first.
        """
        tuned: list[Record] = []
        arms, first_seed = list(runs), 0
        if is_grid(runs):
            tuned = [*self.train([run.with_seed(seed) for seed in FIRST_SEEDS for run in runs])]
            chosen = own_rates(tuned)
            arms, first_seed = [run for run in runs if run.group in chosen], len(FIRST_SEEDS)
        return tuned + self._race(arms, first_seed)

    def _race(self, arms: Sequence[Run], first_seed: int) -> list[Record]:
        """Race the arms, starting with the seed ``first_seed``, and return the records of the race."""
        groups = [Group(arm.group, [], []) for arm in arms]
        race_rules = rules([arm.method for arm in arms], self.baseline, self.scale)
        held = [first_round(len(arms), self.budget)] * len(arms)
        number = 0
        while True:
            next_runs = [
                (group, arm.with_seed(first_seed + seed))
                for seed in range(max(held))
                for group, arm, seeds in zip(groups, arms, held, strict=True)
                if len(group.records) <= seed < seeds
            ]
            records = self.train([run for _, run in next_runs])
            for (group, _), record, figures in zip(next_runs, records, self.score(records), strict=True):
                group.records.append(record)
                group.test_figures.append(figures)
            evidence = Evidence(comparable_figures(groups, self.scale.metric), self.scale.least)
            now = decide(evidence, held, race_rules, self.budget)
            number += 1
            self.tell(_line(number, now, groups))
            if now.end is not None:
                return [record for group in groups for record in group.records]
            held = now.held


def _line(number: int, now: Round, groups: Sequence[Group]) -> str:
    """Return the line that reports the state of the race after a round."""
    standing = now.standing
    line = f"round {number}, {int(standing.seeds.sum())} runs: {groups[standing.leader].name} leads"
    if len(groups) > 1:
        line += f", {int(standing.in_set.sum())} of {len(groups)} may be the best"
    if now.end is None:
        names = [groups[arm].name for arm in now.trained]
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        return f"{line}; more seeds of {shown}"
    if now.end == "budget":
        return f"{line}; the budget is spent"
    return f"{line}, none by more than the margin; answered" if len(groups) > 1 else f"{line}; answered"
