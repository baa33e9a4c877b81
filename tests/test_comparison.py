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
        record = Record(run, "finished", [Epoch(1, run.lr, 0.5, 1 - accuracy, accuracy)], 0.0, 1.0, "cpu", "2", "f")
        found.append((record, Score(1 - accuracy, accuracy)))
    return found


def test_groups_are_ranked_by_mean_test_accuracy() -> None:
    groups = comparison.grouped(results({"step": [0.7, 0.9], "cosine": [0.9, 0.8], "rex": [0.1, 0.2]}))
    assert [group.name for group in groups] == ["step", "cosine", "rex"]
    assert [group.name for group in comparison.ranked(groups)] == ["cosine", "step", "rex"]
    assert groups[0].figures == [0.7, 0.9]


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
    assert group.count("diverged") == 1
    assert group.figures == [0.1, 0.8]
    assert comparison.best_runs(group.records)[0].run.name == "step-s1"
    assert comparison.best_runs(group.records[:1])[0].run.name == "step-s0"
    assert math.isnan(comparison.spread(group.losses))


def test_spread_is_the_standard_deviation_of_a_sample() -> None:
    assert comparison.spread([1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.2909944)
    assert math.isnan(comparison.spread([1.0]))


def test_a_difference_is_paired_by_seed() -> None:
    from scipy import stats

    one, two = [0.7, 0.9, 0.85, 0.6], [0.6, 0.85, 0.87, 0.5]
    step, cosine = comparison.grouped(results({"step": one, "cosine": two}))
    found = comparison.difference(step, cosine)
    interval = stats.ttest_rel(one, two).confidence_interval(0.95)
    assert found.mean == pytest.approx(0.0575)
    assert (found.mean - found.margin, found.mean + found.margin) == pytest.approx((interval.low, interval.high))


def test_a_difference_of_single_or_diverged_runs_has_no_margin() -> None:
    step, cosine = comparison.grouped(results({"step": [0.7], "cosine": [0.6]}))
    assert math.isnan(comparison.difference(step, cosine).margin)
    found = results({"step": [0.7, 0.8], "cosine": [0.6, 0.7]})
    losses = [(record, Score(math.nan if record.run.name == "step-s0" else 1.0, None)) for record, _ in found]
    step, cosine = comparison.grouped(losses)
    assert step.metric == "test_loss"
    assert math.isnan(comparison.difference(step, cosine).mean)
    assert [group.name for group in comparison.ranked([step, cosine])] == ["cosine", "step"]


def test_a_group_is_compared_with_the_baseline_that_is_like_it_in_all_else() -> None:
    names = {"step": [0.7, 0.9], "constant": [0.6, 0.5]}
    groups = comparison.grouped(results(names, optimizer=["sgd", "adam"], lr=[0.1, 0.2]))
    found = {name: other.name for name, other in comparison.baselines(groups, "constant").items()}
    assert found["step-sgd-lr0.2"] == "constant-sgd-lr0.2"
    assert found["step-adam-lr0.1"] == "constant-adam-lr0.1"
    assert len(found) == 4
    own_rate = comparison.grouped(results(names, **{"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}))
    assert comparison.baselines(own_rate, "constant")["step"].name == "constant"
    assert comparison.baselines(own_rate, "cosine") == {}


def test_a_lower_loss_ranks_first_and_a_dead_run_last() -> None:
    found = [(replace(record, outcome="dead") if record.run.seed else record, Score(1 - score.test_loss, None))
             for record, score in results({"step": [0.9, 0.9], "cosine": [0.6, 0.5]})]  # fmt: skip
    groups = comparison.ranked(comparison.grouped(found))
    assert [group.name for group in groups] == ["cosine", "step"]
    assert groups[0].count("dead") == 1
    assert groups[0].usual_curve in ("dead 1/2", "converged 1/2")
    assert comparison.best_runs(groups[0].records)[0].outcome == "finished"


def test_the_final_rate_is_that_of_whole_runs() -> None:
    (group,) = comparison.grouped(results({"step": [0.9, 0.8]}))
    whole, cut = group.records
    ended = replace(whole, epochs=[Epoch(40, 0.001, 0.5, 0.5, 0.5)])
    assert replace(group, records=[ended, cut]).final_lr == 0.001
    assert group.final_lr == whole.run.lr
