"""Results of runs that were not trained: tests of arithmetic and wording need only figures."""

from typing import Any

from pipeline.comparison.answer import Answer, Findings, rules
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import Group, figures, grouped, held, sweep
from pipeline.comparison.questions import Question, Scale, questions
from pipeline.comparison.standing import stand
from pipeline.runs.epoch import Epoch
from pipeline.runs.records import Record, Score
from tests.helpers.project import load

BASE = [0.90, 0.91, 0.92, 0.93, 0.94]
SCALE = Scale("test_accuracy", 0.005)
UPS, NOISE = [0.021, 0.019, 0.02, 0.022, 0.018], [0.02, -0.02, 0.011, -0.012, 0.03]
"""Differences that are significant, and differences that are not."""


def shifted(by: list[float], times: float = 1) -> list[float]:
    """Return the accuracies `BASE` with differences added."""
    return [figure + times * up for figure, up in zip(BASE, by, strict=True)]


def results(accuracies: dict[str, list[float]], **changes: Any) -> list[tuple[Record, Score]]:
    """Return a run for each accuracy, by scheduler and seed; the test loss is 1 minus the accuracy.

    Validation is as good as the test. ``changes`` are those of `load`; several optimizers or base LRs repeat the
    figures.
    """
    found = []
    for run in load(scheduler=list(accuracies), seeds=len(next(iter(accuracies.values()))), **changes).runs():
        accuracy = accuracies[run.scheduler][run.seed]
        record = Record(run, "finished", [Epoch(1, run.lr, 0.5, 1 - accuracy, accuracy)], "cpu", "2", "f")
        found.append((record, Score(1 - accuracy, accuracy)))
    return found


def groups_of(accuracies: dict[str, list[float]], **changes: Any) -> list[Group]:
    return grouped(results(accuracies, **changes))


def answers(groups: list[Group], scale: Scale = SCALE) -> list[Question]:
    """Return the questions of a sweep with fixed seeds."""
    return questions(sweep(groups, is_auto=False), "constant", scale)


def asked(**accuracies: list[float]) -> Question:
    """Return the only question of a sweep; an underscore in a scheduler's name stands for a hyphen."""
    (question,) = answers(groups_of({name.replace("_", "-"): figures for name, figures in accuracies.items()}))
    return question


def findings(groups: list[Group], scale: Scale = SCALE, budget: int | None = None) -> Findings:
    """Return what a sweep has found that gave each group all of its seeds in one round."""
    found = sweep(groups, is_auto=budget is not None)
    values = figures(found.arms, scale.metric)
    asks = rules([arm.method for arm in found.arms], "constant", scale)
    standing = stand(Evidence(values, scale.least), held(values), asks)
    answer = Answer(found.arms, scale, [standing], budget)
    return Findings(found, questions(found, "constant", scale), answer, "constant")
