import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison import questions as comparison
from pipeline.comparison.questions import Comparison
from pipeline.records import Record, Score
from pipeline.training.epoch import Epoch
from tests.conftest import load


def results(accuracies: dict[str, list[float]], **changes: Any) -> list[tuple[Record, Score]]:
    """Results of runs that were not trained: a test of arithmetic needs none."""
    found = []
    for run in load(scheduler=list(accuracies), seeds=len(next(iter(accuracies.values()))), **changes).runs():
        accuracy = accuracies[run.scheduler][run.seed]
        record = Record(run, "finished", [Epoch(1, run.lr, 0.5, 1 - accuracy, accuracy)], "cpu", "2", "f")
        found.append((record, Score(1 - accuracy, accuracy)))
    return found


def test_groups_are_ranked_by_mean_test_accuracy() -> None:
    groups = comparison.grouped(results({"step": [0.7, 0.9], "cosine": [0.9, 0.8], "rex": [0.1, 0.2]}))
    assert [group.name for group in groups] == ["step", "cosine", "rex"]
    assert [group.name for group in comparison.ranked(groups, "test_accuracy")] == ["cosine", "step", "rex"]
    assert groups[0].of("test_accuracy") == [0.7, 0.9]


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
    assert group.of("test_accuracy") == [0.1, 0.8]
    assert comparison.best_runs(group.records)[0].run.name == "step-s1"
    assert comparison.best_runs(group.records[:1])[0].run.name == "step-s0"
    assert math.isnan(comparison.spread(group.losses))


def test_spread_is_the_standard_deviation_of_a_sample() -> None:
    assert comparison.spread([1.0, 2.0, 3.0, 4.0]) == pytest.approx(1.2909944)
    assert math.isnan(comparison.spread([1.0]))


def compared(accuracies: dict[str, list[float]], **changes: Any) -> list[Comparison]:
    """Each scheduler against constant."""
    (question,) = comparison.questions(comparison.grouped(results(accuracies, **changes)), "constant", "test_accuracy")
    return question.comparisons


def test_figures_are_those_of_scipy() -> None:
    one, two, three = [0.7, 0.9, 0.85, 0.6], [0.6, 0.85, 0.87, 0.5], [0.61, 0.86, 0.89, 0.52]
    step, rex = compared({"step": one, "rex": three, "constant": two})
    for found, figures in ((step, one), (rex, three)):
        test = stats.ttest_rel(figures, two)
        interval = test.confidence_interval(0.95)
        assert found.mean == pytest.approx(np.mean(figures) - np.mean(two))
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        assert found.p == pytest.approx(test.pvalue)
        assert found.improvement == stats.mannwhitneyu(figures, two).statistic / 16
        differences = np.subtract(figures, two)
        assert found.effect == pytest.approx(
            (1 - 3 / (4 * 3 - 1)) * differences.mean() / differences.std(ddof=1), rel=0.01
        )
    smaller, larger = sorted((step.p, rex.p))
    assert sorted((step.adjusted, rex.adjusted)) == pytest.approx([2 * smaller, max(larger, 2 * smaller)])


@pytest.mark.parametrize("values", [[0.01, 0.04, 0.03, 0.005], [0.5, 0.9, 0.2], [0.02], [0.01, 0.01, 0.01], []])
def test_holm_is_what_stepping_down_by_hand_gives(values: list[float]) -> None:
    """Rejected at a level: the smallest p against level/m, the next against level/(m - 1), until one is larger."""
    adjusted = comparison._holm(values)
    for level in np.linspace(0.001, 0.999, 250):
        rejected = set()
        for rank, place in enumerate(np.argsort(values, kind="stable")):
            if values[place] > level / (len(values) - rank):
                break
            rejected.add(int(place))
        assert {place for place, p in enumerate(adjusted) if p <= level} == rejected


def test_verdicts() -> None:
    base = [0.90, 0.91, 0.92, 0.93, 0.94]
    ups, noise = [0.021, 0.019, 0.02, 0.022, 0.018], [0.02, -0.03, 0.01, -0.01, 0.03]
    found = compared(
        {
            "step": [figure + up for figure, up in zip(base, ups, strict=True)],
            "rex": [figure - up for figure, up in zip(base, ups, strict=True)],
            "wsd": [figure + up for figure, up in zip(base, noise, strict=True)],
            "linear": base,
            "constant": base,
        }
    )
    assert [each.verdict for each in found] == ["better", "worse", "not resolved", "not resolved"]
    assert [each.needed is None for each in found] == [True, True, False, True]
    assert found[3].mean == 0
    assert math.isnan(found[3].p)


def test_a_loss_is_better_where_it_is_lower() -> None:
    groups = comparison.grouped(results({"step": [0.9, 0.91, 0.93], "constant": [0.8, 0.82, 0.83]}))
    (question,) = comparison.questions(groups, "constant", "test_loss")
    (found,) = question.comparisons
    assert found.mean < 0 < found.gain
    assert found.verdict == "better"
    assert found.improvement == 1


def test_differences_that_are_all_alike_say_nothing() -> None:
    """Of three seeds that gain one picture each: rounding leaves a spread of 1e-17, and a p of nothing."""
    base = [0.9, 0.91, 0.93]
    (found,) = compared({"step": [figure + 1 / 450 for figure in base], "constant": base})
    assert found.verdict == "not resolved"
    assert math.isnan(found.p)
    assert math.isnan(found.low)


def test_one_seed_says_nothing() -> None:
    (found,) = compared({"step": [0.7], "constant": [0.6]})
    assert found.mean == pytest.approx(0.1)
    assert math.isnan(found.margin)
    assert found.verdict == "not resolved"
    assert found.needed is None


def test_a_run_that_diverged_counts_with_the_worst_loss() -> None:
    found = []
    for record, score in results({"step": [0.8] * 5, "rex": [0.1, 0.3, 0.5, 0.7, 0.9], "constant": [0.7] * 5}):
        lost = record.run.scheduler == "step" and record.run.seed < 4
        outcome = replace(record, outcome="diverged") if lost else record
        found.append((outcome, Score(math.nan if lost else score.test_loss, None)))
    groups = comparison.grouped(found)
    (question,) = comparison.questions(groups, "constant", "test_loss")
    step = question.comparisons[0]
    assert step.mean == pytest.approx((4 * (0.9 - 0.3) + (0.2 - 0.3)) / 5)
    assert step.verdict == "not resolved"
    assert groups[0].count("diverged") == 4
    assert comparison.ranked(groups, "test_loss")[-1].name == "step"


def test_needed_seeds_have_the_power_that_is_promised() -> None:
    random = np.random.default_rng(1)
    needed = comparison.seeds_needed(0.5, 1.0)
    assert needed is not None
    for seeds, least, most in ((needed, 0.78, 0.84), (needed // 2, 0.0, 0.65)):
        draws = random.normal(0.5, 1.0, (20_000, seeds))
        share = np.mean(stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05)
        assert least <= share <= most
    assert comparison.seeds_needed(0.5, 1.0, comparisons=21) > needed
    assert comparison.seeds_needed(1e-4, 1.0) is None
    assert comparison.seeds_needed(100.0, 1.0) == 2
    assert comparison.seeds_needed(0.0, 1.0) is None


def test_optimizers_are_compared_with_the_first_of_them() -> None:
    names = {"step": [0.7, 0.9], "constant": [0.6, 0.5]}
    groups = comparison.grouped(results(names, optimizer=["adam", "sgd"]))
    with_adam, with_sgd, optimizers = comparison.questions(groups, "constant", "test_accuracy")
    assert [(each.group.name, each.other.name) for each in with_adam.comparisons] == [("step-adam", "constant-adam")]
    assert [(each.group.name, each.other.name) for each in with_sgd.comparisons] == [("step-sgd", "constant-sgd")]
    assert with_sgd.title == "Each scheduler against constant, with sgd at a base LR of 0.15"
    assert [(each.group.name, each.other.name) for each in optimizers.comparisons] == [
        ("step-sgd", "step-adam"),
        ("constant-sgd", "constant-adam"),
    ]
    assert optimizers.against == "adam"
    # One test of four in the sweep, whatever the table
    assert {each.together for question in (with_adam, with_sgd, optimizers) for each in question.comparisons} == {4}


def test_with_a_grid_it_is_asked_at_one_rate_and_at_each_scheduler_s_own() -> None:
    found = []
    best = {"step": 0.3, "constant": 0.1}
    for run in load(scheduler=["step", "constant"], seeds=2, lr=[0.1, 0.2, 0.3]).runs():
        loss = 0.2 + abs(run.lr - best[run.scheduler]) + 0.01 * run.seed
        epochs = [Epoch(1, run.lr, 0.5, loss, 1 - loss)]
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), Score(0.0, loss)))  # not by the test
    shared, own = comparison.questions(comparison.grouped(found), "constant", "test_accuracy")
    pairs = [[(each.group.name, each.other.name) for each in question.comparisons] for question in (shared, own)]
    assert pairs == [[("step-lr0.1", "constant-lr0.1")], [("step-lr0.3", "constant-lr0.1")]]
    assert shared.title == "Each scheduler against constant at a base LR of 0.1"
    assert own.title == "Each scheduler against constant, each at its own best base LR"


def test_where_one_rate_is_the_best_for_all_it_is_asked_once() -> None:
    groups = comparison.grouped(results({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, lr=[0.1, 0.2]))
    (question,) = comparison.questions(groups, "constant", "test_accuracy")
    assert question.at == " at a base LR of 0.1, which validates best for each"


def test_without_the_baseline_there_is_no_question() -> None:
    assert comparison.questions(comparison.grouped(results({"step": [0.7, 0.9]})), "constant", "test_accuracy") == []
    groups = comparison.grouped(results({"step": [0.7, 0.9], "constant": [0.6, 0.5]}))
    own_rate = comparison.grouped(
        results(
            {"step": [0.7, 0.9], "constant": [0.6, 0.5]}, **{"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}
        )
    )
    for those in (groups, own_rate):
        (question,) = comparison.questions(those, "constant", "test_accuracy")
        assert [each.other.name for each in question.comparisons] == ["constant"]


def test_what_the_final_rate_explains() -> None:
    found = []
    for number, run in enumerate(load(scheduler=["step", "rex", "wsd", "linear", "constant"], seeds=1).runs()):
        figures = [Epoch(40, 0.1 / 2**number, 0.5, 0.5, 0.5)]
        found.append((Record(run, "finished", figures, "cpu", "2", "f"), Score(0.1, 0.5 + 0.1 * number)))
    groups = comparison.grouped(found)
    (question,) = comparison.questions(groups, "constant", "test_accuracy")
    assert comparison.final_lr_effect(question, "test_accuracy").rho == pytest.approx(-1)
    assert comparison.final_lr_effect(question, "test_accuracy").p < 0.001
    (few,) = comparison.questions(groups[2:], "constant", "test_accuracy")
    assert math.isnan(comparison.final_lr_effect(few, "test_accuracy").rho)
    assert groups[1].mean_lr == groups[1].final_lr == 0.05
    assert not groups[0].cycles_momentum


def test_a_lower_loss_ranks_first_and_a_dead_run_last() -> None:
    found = [(replace(record, outcome="dead") if record.run.seed else record, Score(1 - score.test_loss, None))
             for record, score in results({"step": [0.9, 0.9], "cosine": [0.6, 0.5]})]  # fmt: skip
    groups = comparison.ranked(comparison.grouped(found), "test_loss")
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
