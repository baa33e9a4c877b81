import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from pipeline.comparison.anytime import Evidence
from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import Comparison, Scale, compare_groups, final_lr_effect
from pipeline.comparison.statistics import hedges_factor
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import TEST_LOSS, network_figures
from pipeline.runs.records import Record
from tests.comparison.examples import BASE, SCALE, UPS, answers, asked, groups_of, results, shifted
from tests.helpers.project import load


def names(comparisons: list[Comparison]) -> list[tuple[str, str]]:
    return [(each.group.name, each.other.name) for each in comparisons]


def test_verdicts() -> None:
    noise = [0.02, -0.03, 0.01, -0.01, 0.03]
    tiny = [0.0001, -0.0001, 0.0002, 0.0, -0.0002]
    found = asked(step=shifted(UPS), rex=shifted(UPS, -1), wsd=shifted(noise), linear=shifted(tiny), constant=BASE)
    assert [each.verdict for each in found.comparisons] == ["better", "worse", "open", "equivalent"]
    assert [each.together for each in found.comparisons] == [4] * 4
    assert all(each.is_provisional for each in found.comparisons)
    assert [each.seeds_needed is None for each in found.comparisons] == [True, True, False, True]


def test_below_ten_seeds_the_test_is_students() -> None:
    """P-values have Holm's correction, and intervals have Bonferroni's."""
    noise = [0.02, -0.03, 0.01, -0.01, 0.03]
    found = asked(step=shifted(UPS), wsd=shifted(noise), constant=BASE).comparisons
    tests = [stats.ttest_rel(shifted(by), BASE) for by in (UPS, noise)]
    assert [each.p for each in found] == pytest.approx([2 * tests[0].pvalue, tests[1].pvalue])
    for each, test in zip(found, tests, strict=True):
        interval = test.confidence_interval(0.975)
        assert (each.low, each.high) == pytest.approx((interval.low, interval.high))
    assert found[0].wins == stats.mannwhitneyu(shifted(UPS), BASE).statistic / 25
    assert found[0].effect == pytest.approx(hedges_factor(5) * 0.02 / np.std(UPS, ddof=1))


def test_from_ten_seeds_on_the_test_is_the_anytime_test() -> None:
    random = np.random.default_rng(0)
    base = random.normal(0.9, 0.01, 20)
    step = base + random.normal(0.02, 0.01, 20)
    (found,) = asked(step=list(step), constant=list(base)).comparisons
    evidence = Evidence(np.array([step, base]))
    assert found.p == pytest.approx(2 * evidence.p(np.array([20, 20]))[0, 1])
    assert found.high == pytest.approx(evidence.upper(np.array([20, 20]), 0.025)[0, 1])
    assert not found.is_provisional


def test_losses_are_compared_as_ratios_and_lower_is_better() -> None:
    groups = groups_of({"step": [0.9, 0.91, 0.93], "constant": [0.8, 0.82, 0.83]})
    (question,) = answers(groups, Scale(TEST_LOSS, 0.1))
    (found,) = question.comparisons
    assert found.gain == pytest.approx(np.mean(np.log([0.2 / 0.1, 0.18 / 0.09, 0.17 / 0.07])))
    assert found.wins == 1
    assert found.verdict == "better"


def test_a_diverged_run_counts_with_the_worst_loss() -> None:
    found = []
    for record, score in results({"step": [0.8] * 5, "rex": [0.1, 0.3, 0.5, 0.7, 0.9], "constant": [0.7] * 5}):
        lost = record.run.scheduler == "step" and record.run.seed < 4
        outcome = replace(record, outcome="diverged") if lost else record
        found.append((outcome, network_figures(math.nan if lost else score["test_loss"], None)))
    (question,) = answers(grouped(found), Scale(TEST_LOSS, 0.1))
    step = question.comparisons[0]
    assert step.gain == pytest.approx((4 * math.log(0.3 / 0.9) + math.log(0.3 / 0.2)) / 5)
    assert step.verdict == "open"


def test_runs_are_paired_by_seed_in_any_order() -> None:
    step, constant = groups_of({"step": shifted(UPS), "constant": BASE})
    (found,) = compare_groups([(step, constant)], SCALE)
    backwards = replace(constant, records=constant.records[::-1], test_figures=constant.test_figures[::-1])
    assert compare_groups([(step, backwards)], SCALE)[0].gain == found.gain
    fewer = replace(constant, records=constant.records[1:], test_figures=constant.test_figures[1:])
    assert compare_groups([(step, fewer)], SCALE)[0].gain == pytest.approx(sum(UPS[1:]) / 4)
    assert compare_groups([(step, fewer)], SCALE)[0].seeds == 4
    assert compare_groups([], SCALE) == []


def test_optimizers_are_compared_with_the_first_of_them() -> None:
    groups = groups_of({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, optimizer=["adam", "sgd"])
    with_adam, with_sgd, optimizers = answers(groups)
    assert names(with_adam.comparisons) == [("step-adam", "constant-adam")]
    assert names(with_sgd.comparisons) == [("step-sgd", "constant-sgd")]
    assert with_sgd.title == "Each scheduler against constant, with sgd at a base LR of 0.15"
    assert names(optimizers.comparisons) == [("step-sgd", "step-adam"), ("constant-sgd", "constant-adam")]
    assert optimizers.against == "adam"
    # The schedulers are one family of comparisons (for both optimizers together), and the optimizers are another.
    asked_together = (with_adam, with_sgd, optimizers)
    assert {each.together for question in asked_together for each in question.comparisons} == {2}


def test_a_grid_is_compared_at_each_schedulers_best_rate_and_at_a_common_rate() -> None:
    found = []
    best = {"step": 0.3, "constant": 0.1}
    for run in load(scheduler=["step", "constant"], seeds=2, lr=[0.1, 0.2, 0.3]).runs():
        loss = 0.2 + abs(run.lr - best[run.scheduler]) + 0.01 * run.seed
        epochs = [Epoch.of_network(1, run.lr, 0.5, loss, 1 - loss)]
        # The test set prefers the opposite, but is not used to choose.
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), network_figures(0.0, loss)))
    own, shared = answers(grouped(found))
    assert names(shared.comparisons) == [("step-lr0.1", "constant-lr0.1")]
    assert names(own.comparisons) == [("step-lr0.3", "constant-lr0.1")]
    assert shared.title == "Each scheduler against constant at a base LR of 0.1"
    assert own.title == "Each scheduler against constant, each at its own best base LR"


def test_a_common_best_rate_makes_one_question() -> None:
    groups = groups_of({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, lr=[0.1, 0.2])
    (question,) = answers(groups)
    assert question.at == " at a base LR of 0.1, which validates best for each"


def test_without_the_baseline_there_is_no_question() -> None:
    assert answers(groups_of({"step": [0.7, 0.9]})) == []


def test_a_scheduler_may_have_a_base_lr_of_its_own() -> None:
    own_rate = {"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}
    groups = groups_of({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, **own_rate)
    (question,) = answers(groups)
    assert names(question.comparisons) == [("step", "constant")]
    assert question.at == ""


def test_the_effect_of_the_final_rate() -> None:
    found = []
    averages = ["ema", "swa", "schedule-free"]  # their final rates are ignored
    names = ["step", "rex", "wsd", "linear", "constant"]
    for number, run in enumerate(load(scheduler=[*names, *averages], seeds=1, lr=0.15).runs()):
        epochs = [Epoch.of_network(40, 0.1 if run.scheduler in averages else 0.1 / 2**number, 0.5, 0.5, 0.5)]
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), network_figures(0.1, 0.5 + 0.1 * number)))
    groups = grouped(found)
    (question,) = answers(groups)
    assert final_lr_effect(question).rho == pytest.approx(-1)
    assert final_lr_effect(question).p < 0.001
    (few,) = answers(groups[2:])
    assert math.isnan(final_lr_effect(few).rho)
