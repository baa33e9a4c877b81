"""Made-up results of runs, for tests of arithmetic and wording, which need no trained networks."""

from dataclasses import replace
from typing import Any

from pipeline.comparison.answer import Answer, Findings, rules
from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import Group, comparable_figures, grouped, seed_counts, sweep_groups
from pipeline.comparison.questions import Question, Scale, questions
from pipeline.comparison.standing import stand
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import TEST_ACCURACY, Figures, Metric, network_figures
from pipeline.runs.records import Record
from tests.helpers.project import load

BASE = [0.90, 0.91, 0.92, 0.93, 0.94]
SCALE = Scale(TEST_ACCURACY, 0.005)
UPS, NOISE = [0.021, 0.019, 0.02, 0.022, 0.018], [0.02, -0.02, 0.011, -0.012, 0.03]
"""`UPS` differs from zero significantly, and `NOISE` does not; `shifted` adds them to `BASE`."""


def shifted(by: list[float], times: float = 1) -> list[float]:
    """Return the accuracies `BASE` plus ``times`` times the differences ``by``."""
    return [figure + times * up for figure, up in zip(BASE, by, strict=True)]


def results(accuracies: dict[str, list[float]], **changes: Any) -> list[tuple[Record, Figures]]:
    """Return a run for each scheduler and seed; its test loss is 1 minus its accuracy.

    The validation figures equal the test figures. ``changes`` are passed to `load`; if they add optimizers or base LRs,
    the figures are the same for each of these.
    """
    found = []
    for run in load(scheduler=list(accuracies), seeds=len(next(iter(accuracies.values()))), **changes).runs():
        accuracy = accuracies[run.scheduler][run.seed]
        record = Record(run, "finished", [Epoch.of_network(1, run.lr, 0.5, 1 - accuracy, accuracy)], "cpu", "2", "f")
        found.append((record, network_figures(1 - accuracy, accuracy)))
    return found


def groups_of(accuracies: dict[str, list[float]], **changes: Any) -> list[Group]:
    return grouped(results(accuracies, **changes))


def answers(groups: list[Group], scale: Scale = SCALE) -> list[Question]:
    """Return the questions that a sweep with fixed seeds answers."""
    return questions(sweep_groups(groups, is_auto=False), "constant", scale)


ERROR_RATE = Metric("error_rate", higher_is_better=False, is_share=True)
BLEU = Metric("bleu", higher_is_better=True, is_share=False)


def with_other_figures(accuracies: dict[str, list[float]]) -> list[Group]:
    """Return groups whose runs have an error rate and an unbounded score instead of an accuracy and a loss."""
    return [
        replace(group, test_figures=[{"error_rate": 1 - up, "bleu": 10 * up} for up in accuracies[group.name]])
        for group in groups_of(accuracies)
    ]


def asked(**accuracies: list[float]) -> Question:
    """Return the only question of a sweep; in the keyword arguments, underscores stand for hyphens."""
    (question,) = answers(groups_of({name.replace("_", "-"): figures for name, figures in accuracies.items()}))
    return question


def findings(groups: list[Group], scale: Scale = SCALE, budget: int | None = None) -> Findings:
    """Return the findings of a sweep that trained all seeds of every group in a single round."""
    sweep = sweep_groups(groups, is_auto=budget is not None)
    figures = comparable_figures(sweep.arms, scale.metric)
    by_rules = rules([arm.method for arm in sweep.arms], "constant", scale)
    standing = stand(Evidence(figures, scale.least), seed_counts(figures), by_rules)
    answer = Answer(sweep.arms, scale, [standing], budget)
    return Findings(sweep, questions(sweep, "constant", scale), answer, "constant")
