import math
from dataclasses import replace
from typing import Any

import pytest

from pipeline import comparison
from pipeline.records import Epoch, Record, Score
from tests.conftest import load


def results(accuracies: dict[str, list[float]], **changes: Any) -> list[tuple[Record, Score]]:
    """Results of runs that were not trained: a test of arithmetic needs none."""
    found = []
    for run in load(scheduler=list(accuracies), seeds=len(next(iter(accuracies.values()))), **changes).runs():
        accuracy = accuracies[run.scheduler][run.seed]
        record = Record(run, "finished", [Epoch(1, run.lr, 0.5, 1 - accuracy, accuracy)], 0.0, 1.0, "cpu", "2")
        found.append((record, Score(1 - accuracy, accuracy)))
    return found


def test_groups_are_ranked_by_mean_test_accuracy() -> None:
    groups = comparison.grouped(results({"step": [0.7, 0.9], "cosine": [0.9, 0.8], "rex": [0.1, 0.2]}))
    assert [group.name for group in groups] == ["step", "cosine", "rex"]
    assert [group.name for group in comparison.ranked(groups)] == ["cosine", "step", "rex"]
    assert groups[0].accuracies == [0.7, 0.9]


def test_optimizers_and_rates_are_groups_of_their_own() -> None:
    groups = comparison.grouped(results({"step": [0.7, 0.9]}, optimizer=["sgd", "adam"], lr=[0.1, 0.2]))
    assert [group.name for group in groups] == [
        "step-sgd-lr0.1",
        "step-sgd-lr0.2",
        "step-adam-lr0.1",
        "step-adam-lr0.2",
    ]


def test_the_best_run_is_chosen_by_validation() -> None:
    trained = [record for record, _ in results({"step": [0.7, 0.9, 0.8], "cosine": [0.6, 0.5, 0.4]})]
    assert [record.run.name for record in comparison.best_runs(trained)] == ["step-s1", "cosine-s0"]


def test_a_diverged_run_counts_and_is_best_only_where_there_is_no_other() -> None:
    found = results({"step": [0.9, 0.8]})
    found = [(replace(found[0][0], outcome="diverged"), Score(math.nan, 0.1)), found[1]]
    (group,) = comparison.grouped(found)
    assert group.diverged == 1
    assert group.accuracies == [0.1, 0.8]
    assert comparison.best_runs(group.records)[0].run.name == "step-s1"
    assert comparison.best_runs(group.records[:1])[0].run.name == "step-s0"
    assert math.isnan(comparison.spread(group.losses))


def test_spread_is_the_standard_deviation_of_a_sample() -> None:
    assert comparison.spread([1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.2909944)
    assert math.isnan(comparison.spread([1.0]))
