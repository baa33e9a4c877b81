"""Results of runs that were not trained: tests of arithmetic and wording need only figures."""

from typing import Any

from pipeline.comparison.groups import Group, grouped
from pipeline.comparison.questions import Question, questions
from pipeline.records import Record, Score
from pipeline.training.epoch import Epoch
from tests.conftest import load

BASE = [0.90, 0.91, 0.92, 0.93, 0.94]
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


def asked(**accuracies: list[float]) -> Question:
    """Return the only question of a sweep; an underscore in a scheduler's name stands for a hyphen."""
    groups = groups_of({name.replace("_", "-"): figures for name, figures in accuracies.items()})
    (question,) = questions(groups, "constant", "test_accuracy")
    return question
