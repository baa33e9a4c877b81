import math
from dataclasses import replace

import pytest

from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import Comparison, compared, final_lr_effect, first_of_each, questions
from pipeline.records import Record, Score
from pipeline.training.epoch import Epoch
from tests.comparison.examples import BASE, UPS, asked, groups_of, results, shifted
from tests.conftest import load


def names(comparisons: list[Comparison]) -> list[tuple[str, str]]:
    return [(each.group.name, each.other.name) for each in comparisons]


def test_verdicts() -> None:
    noise = [0.02, -0.03, 0.01, -0.01, 0.03]
    found = asked(step=shifted(UPS), rex=shifted(UPS, -1), wsd=shifted(noise), linear=BASE, constant=BASE).comparisons
    assert [each.verdict for each in found] == ["better", "worse", "not resolved", "not resolved"]
    assert [each.seeds_needed is None for each in found] == [True, True, False, True]
    assert [each.test.together for each in found] == [4] * 4
    assert found[3].test.mean == 0
    assert math.isnan(found[3].test.p)


def test_a_loss_is_better_where_it_is_lower() -> None:
    groups = groups_of({"step": [0.9, 0.91, 0.93], "constant": [0.8, 0.82, 0.83]})
    (question,) = questions(groups, "constant", "test_loss")
    (found,) = question.comparisons
    assert found.test.mean < 0 < found.gain
    assert found.verdict == "better"
    assert (found.wins, found.test.wins) == (1, 0)


def test_a_diverged_run_counts_with_the_worst_loss() -> None:
    found = []
    for record, score in results({"step": [0.8] * 5, "rex": [0.1, 0.3, 0.5, 0.7, 0.9], "constant": [0.7] * 5}):
        lost = record.run.scheduler == "step" and record.run.seed < 4
        outcome = replace(record, outcome="diverged") if lost else record
        found.append((outcome, Score(math.nan if lost else score.test_loss, None)))
    (question,) = questions(grouped(found), "constant", "test_loss")
    step = question.comparisons[0]
    assert step.test.mean == pytest.approx((4 * (0.9 - 0.3) + (0.2 - 0.3)) / 5)
    assert step.verdict == "not resolved"


def test_runs_are_paired_by_seed_whatever_their_order() -> None:
    step, constant = groups_of({"step": shifted(UPS), "constant": BASE})
    (found,) = compared([(step, constant)], "test_accuracy")
    backwards = replace(constant, records=constant.records[::-1], scores=constant.scores[::-1])
    assert compared([(step, backwards)], "test_accuracy")[0].test == found.test
    fewer = replace(constant, records=constant.records[1:], scores=constant.scores[1:])
    assert compared([(step, fewer)], "test_accuracy")[0].test.mean == pytest.approx(sum(UPS[1:]) / 4)
    assert compared([], "test_accuracy") == []


def test_optimizers_are_compared_with_the_first_of_them() -> None:
    groups = groups_of({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, optimizer=["adam", "sgd"])
    with_adam, with_sgd, optimizers = questions(groups, "constant", "test_accuracy")
    assert names(with_adam.comparisons) == [("step-adam", "constant-adam")]
    assert names(with_sgd.comparisons) == [("step-sgd", "constant-sgd")]
    assert with_sgd.title == "Each scheduler against constant, with sgd at a base LR of 0.15"
    assert names(optimizers.comparisons) == [("step-sgd", "step-adam"), ("constant-sgd", "constant-adam")]
    assert optimizers.against == "adam"
    # p-values are corrected for all four comparisons of the sweep
    asked_together = (with_adam, with_sgd, optimizers)
    assert {each.test.together for question in asked_together for each in question.comparisons} == {4}
    assert first_of_each(asked_together)["step-sgd"] is with_sgd.comparisons[0]


def test_with_a_grid_it_is_asked_at_one_rate_and_at_each_scheduler_s_own() -> None:
    found = []
    best = {"step": 0.3, "constant": 0.1}
    for run in load(scheduler=["step", "constant"], seeds=2, lr=[0.1, 0.2, 0.3]).runs():
        loss = 0.2 + abs(run.lr - best[run.scheduler]) + 0.01 * run.seed
        epochs = [Epoch(1, run.lr, 0.5, loss, 1 - loss)]
        # The test set says the opposite, and is not asked.
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), Score(0.0, loss)))
    shared, own = questions(grouped(found), "constant", "test_accuracy")
    assert names(shared.comparisons) == [("step-lr0.1", "constant-lr0.1")]
    assert names(own.comparisons) == [("step-lr0.3", "constant-lr0.1")]
    assert shared.title == "Each scheduler against constant at a base LR of 0.1"
    assert own.title == "Each scheduler against constant, each at its own best base LR"


def test_where_one_rate_is_the_best_for_all_it_is_asked_once() -> None:
    groups = groups_of({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, lr=[0.1, 0.2])
    (question,) = questions(groups, "constant", "test_accuracy")
    assert question.at == " at a base LR of 0.1, which validates best for each"


def test_without_the_baseline_there_is_no_question() -> None:
    assert questions(groups_of({"step": [0.7, 0.9]}), "constant", "test_accuracy") == []


def test_a_scheduler_may_have_a_base_lr_of_its_own() -> None:
    own_rate = {"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}
    groups = groups_of({"step": [0.7, 0.9], "constant": [0.6, 0.5]}, **own_rate)
    (question,) = questions(groups, "constant", "test_accuracy")
    assert names(question.comparisons) == [("step", "constant")]
    assert question.at == ""


def test_what_the_final_rate_explains() -> None:
    found = []
    for number, run in enumerate(load(scheduler=["step", "rex", "wsd", "linear", "constant"], seeds=1).runs()):
        epochs = [Epoch(40, 0.1 / 2**number, 0.5, 0.5, 0.5)]
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), Score(0.1, 0.5 + 0.1 * number)))
    groups = grouped(found)
    (question,) = questions(groups, "constant", "test_accuracy")
    assert final_lr_effect(question).rho == pytest.approx(-1)
    assert final_lr_effect(question).p < 0.001
    (few,) = questions(groups[2:], "constant", "test_accuracy")
    assert math.isnan(final_lr_effect(few).rho)
