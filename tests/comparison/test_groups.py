import math
from dataclasses import replace

import numpy as np
import pytest

from pipeline.comparison.groups import (
    at_own_best,
    best_of_each,
    comparable_figures,
    grouped,
    is_grid,
    ranked,
    seed_counts,
    sweep_groups,
)
from pipeline.errors import UserError
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import TEST_ACCURACY, TEST_LOSS, network_figures
from pipeline.runs.records import Record
from tests.comparison.examples import BLEU, ERROR_RATE, groups_of, results, with_other_figures
from tests.helpers.project import load


def test_groups_are_ranked_by_mean_test_accuracy() -> None:
    groups = groups_of({"step": [0.7, 0.9], "cosine": [0.9, 0.8], "rex": [0.1, 0.2]})
    assert [group.name for group in groups] == ["step", "cosine", "rex"]
    assert [group.name for group in ranked(groups, TEST_ACCURACY)] == ["cosine", "step", "rex"]
    assert groups[0].figures(TEST_ACCURACY) == [0.7, 0.9]
    assert groups[0].seeds == [0, 1]


def test_optimizers_and_rates_are_groups_of_their_own() -> None:
    groups = groups_of({"step": [0.7, 0.9]}, optimizer=["sgd", "adam"], lr=[0.1, 0.2])
    names = ["step-sgd-lr0.1", "step-sgd-lr0.2", "step-adam-lr0.1", "step-adam-lr0.2"]
    assert [group.name for group in groups] == names
    assert is_grid(group.run for group in groups)
    assert not is_grid(group.run for group in groups_of({"step": [0.7]}, optimizer=["sgd", "adam"]))


def test_the_best_base_lr_is_chosen_by_validation_and_without_failed_runs() -> None:
    found = results({"step": [0.7, 0.9]}, lr=[0.1, 0.2])
    assert [group.name for group in at_own_best(grouped(found))] == ["step-lr0.1"]
    record, score = found[0]
    failed = replace(record, outcome="dead", epochs=[Epoch.of_network(1, 0.1, 0.1, 0.1, 0.99)])
    assert [group.name for group in at_own_best(grouped([(failed, score), *found[1:]]))] == ["step-lr0.2"]


def test_the_best_run_is_chosen_by_validation() -> None:
    trained = [record for record, _ in results({"step": [0.7, 0.9, 0.8], "cosine": [0.6, 0.5, 0.4]})]
    assert [record.run.name for record in best_of_each(trained, is_auto=False)] == ["step-s1", "cosine-s0"]


def test_a_diverged_run_counts_but_is_best_only_if_it_is_alone() -> None:
    found = results({"step": [0.9, 0.8]})
    found = [(replace(found[0][0], outcome="diverged"), network_figures(math.nan, 0.1)), found[1]]
    (group,) = grouped(found)
    assert group.count("diverged") == 1
    assert group.figures(TEST_ACCURACY) == [0.1, 0.8]
    assert best_of_each(group.records, is_auto=False)[0].run.name == "step-s1"
    assert best_of_each(group.records[:1], is_auto=False)[0].run.name == "step-s0"


def test_a_lower_loss_ranks_first_and_nan_last() -> None:
    groups = groups_of({"step": [0.6, 0.5], "cosine": [0.9, 0.9]})
    assert [group.name for group in ranked(groups, TEST_LOSS)] == ["cosine", "step"]
    lost = replace(groups[1], test_figures=[network_figures(math.nan, 0.9)] * 2)
    assert [group.name for group in ranked([lost, groups[0]], TEST_LOSS)] == ["step", "cosine"]


def test_the_usual_learning_curve_is_the_most_common_one() -> None:
    found = results({"step": [0.9, 0.9, 0.9]})
    one_dead = [(replace(record, outcome="dead") if record.run.seed else record, score) for record, score in found]
    (group,) = grouped(one_dead)
    assert group.usual_curve == "dead 2/3"
    assert grouped(found[:1])[0].usual_curve == "converged"


def test_final_and_mean_lr_are_those_of_complete_runs() -> None:
    (group,) = groups_of({"step": [0.9, 0.8]})
    complete, stopped = group.records
    complete = replace(
        complete, epochs=[Epoch.of_network(20, 0.1, 0.5, 0.5, 0.5), Epoch.of_network(40, 0.001, 0.5, 0.5, 0.5)]
    )
    of_both = replace(group, records=[complete, stopped])
    assert of_both.final_lr == 0.001
    assert of_both.mean_lr == (0.1 + 0.001) / 2
    assert group.final_lr == group.mean_lr == stopped.run.lr


def test_a_schedule_can_cycle_momentum() -> None:
    changes = {"schedulers__onecycle__cycle_momentum": True}
    groups = groups_of({"onecycle": [0.9], "step": [0.9]}, **changes)
    assert [group.cycles_momentum for group in groups] == [True, False]
    assert not groups_of({"onecycle": [0.9]})[0].cycles_momentum


def test_figures_have_a_column_for_each_seed() -> None:
    step, rex = groups_of({"step": [0.7, 0.9, 0.8], "rex": [0.1, 0.2, 0.3]})
    found = comparable_figures([step, rex.with_seeds([2, 0])], TEST_ACCURACY)
    assert found[:, :2].tolist() == [[0.7, 0.8], [0.1, 0.3]]
    assert seed_counts(found) == [3, 2]
    losses = comparable_figures([step], TEST_LOSS)
    assert losses[0].tolist() == pytest.approx([-math.log(0.3), -math.log(0.1), -math.log(0.2)])


def test_comparable_figures_are_higher_if_better() -> None:
    worse, better = groups = with_other_figures({"step": [0.2, 0.4], "rex": [0.5, 0.9]})
    assert comparable_figures(groups, ERROR_RATE).tolist() == [[-0.8, -0.6], [-0.5, pytest.approx(-0.1)]]
    assert comparable_figures(groups, BLEU).tolist() == np.log([[2, 4], [5, 9]]).tolist()
    for metric in (ERROR_RATE, BLEU):
        assert ranked(groups, metric) == [better, worse]
    assert better.means() == pytest.approx({"error_rate": 0.3, "bleu": 7})


def test_a_run_without_the_figure_gets_the_worst_of_all() -> None:
    step, rex = with_other_figures({"step": [0.2, 0.4], "rex": [0.5, 0.9]})
    lost = replace(rex, test_figures=[{}, rex.test_figures[1]])
    assert comparable_figures([step, lost], BLEU)[1].tolist() == np.log([2, 9]).tolist()
    assert comparable_figures([step, lost], ERROR_RATE)[1].tolist() == [-0.8, pytest.approx(-0.1)]
    assert lost.means() == {}


def test_a_run_with_a_nan_loss_gets_the_worst_of_all() -> None:
    step, rex = groups_of({"step": [0.7, 0.9], "rex": [0.1, 0.2]})
    lost = replace(step, test_figures=[network_figures(math.nan, 0.1), step.test_figures[1]])
    assert comparable_figures([lost, rex], TEST_LOSS)[0, 0] == pytest.approx(-math.log(0.9))
    both = [replace(group, test_figures=[network_figures(math.nan, 0.1)] * 2) for group in (step, rex)]
    assert comparable_figures(both, TEST_LOSS).tolist() == [[0, 0], [0, 0]]


def test_a_loss_below_0_has_no_logarithm() -> None:
    (group,) = groups_of({"step": [1.5]})
    with pytest.raises(UserError, match="below 0 cannot be compared in per cent; allowed: test_accuracy"):
        comparable_figures([group], TEST_LOSS)


def test_with_auto_the_first_ten_seeds_choose_the_rate_and_only_the_others_count() -> None:
    """For step, the first ten seeds validate best at 0.2; the other seeds and the test figures have no influence."""
    found = []
    for run in load(scheduler=["step", "constant"], seeds=12, lr=[0.1, 0.2]).runs():
        loss = abs(run.lr - (0.2 if run.scheduler == "step" and run.seed < 10 else 0.1)) + 0.1
        epochs = [Epoch.of_network(1, run.lr, 0.5, loss, 0.5)]
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), network_figures(loss, 0.5)))
    whole = sweep_groups(grouped(found), is_auto=True)
    assert [group.name for group in whole.arms] == ["step-lr0.2", "constant-lr0.1"]
    assert [group.seeds for group in whole.arms] == [[10, 11]] * 2
    assert [group.seeds for group in whole.tuning] == [list(range(10))] * 4
    fixed = sweep_groups(grouped(found), is_auto=False)
    assert [group.seeds for group in fixed.arms] == [list(range(12))] * 2
    assert fixed.tuning == fixed.groups


def test_the_best_run_of_each_scheduler_is_at_its_own_rate() -> None:
    """With `auto`, the first ten seeds choose the rate; the best run is the best one of all seeds at that rate."""
    trained = []
    for run in load(scheduler="step", seeds=12, lr=[0.1, 0.2]).runs():
        loss = 0.1 + (run.lr == 0.2) + (run.seed != 11) - 2 * (run.lr == 0.2 and run.seed > 9)
        trained.append(Record(run, "finished", [Epoch.of_network(1, run.lr, 0.5, loss, 0.5)], "cpu", "2", "f"))
    assert [record.run.name for record in best_of_each(trained, is_auto=True)] == ["step-lr0.1-s11"]
    assert [record.run.name for record in best_of_each(trained[:5], is_auto=False)] == ["step-lr0.1-s0"]
