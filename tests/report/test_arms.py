import math

import pytest

from pipeline.report.arms import arms, key, others, own
from pipeline.report.phrases import difference, failures, interval, mean_and_deviation
from tests.comparison.examples import BASE, UPS, shifted
from tests.report.sweeps import fixed, raced, twelve


def test_the_leader_comes_first_and_arms_not_needed_last() -> None:
    found = arms(fixed({"rex": twelve(0.80), "step": twelve(0.93), "constant": twelve(0.90, 3), "wsd": twelve(0.931)}))
    assert [(arm.name, arm.place) for arm in found] == [
        ("wsd", "good enough"),
        ("step", "good enough"),
        ("constant", "not needed"),
        ("rex", "not needed"),
    ]
    assert [arm.is_leader for arm in found] == [True, False, False, False]
    assert [arm.is_baseline for arm in found] == [False, False, True, False]
    assert [arm.verdict for arm in found] == ["better", "better", "", "worse"]
    assert [bool(arm.behind) for arm in found] == [True, True, False, False]
    assert found[0].gain == 0
    assert all(arm.low <= arm.gain <= arm.high for arm in found)


def test_the_bound_of_the_answer_is_the_largest_upper_end() -> None:
    found = arms(raced({"step": 0.93, "cosine": 0.931, "wsd": 0.929, "constant": 0.91}))
    survivors = [arm for arm in found if arm.place != "not needed"]
    assert max(arm.high for arm in survivors) == pytest.approx(found[0].bound)


def test_cells_are_points_for_accuracies_and_per_cent_for_losses() -> None:
    step, _ = arms(fixed({"step": shifted(UPS), "constant": BASE}))
    assert (mean_and_deviation(step.group, step.metric), difference(step.comparison)) == (("94.00", "1.54"), "+2.00")
    assert interval(step.comparison).startswith("+1.")
    step, _ = arms(fixed({"step": shifted(UPS), "constant": BASE}, metric="test_loss"))
    assert mean_and_deviation(step.group, step.metric) == ("0.06000", "0.015")
    assert difference(step.comparison).endswith("%")
    assert difference(step.comparison).startswith("-")


def test_one_seed_has_neither_bounds_nor_intervals() -> None:
    step, _ = arms(fixed({"step": [0.9], "constant": [0.8]}))
    assert mean_and_deviation(step.group, step.metric) == ("90.00", "")
    assert (difference(step.comparison), interval(step.comparison), step.behind) == ("+10.00", "?", "?")


def test_with_several_optimizers_names_include_the_optimizer() -> None:
    findings = fixed({"step": twelve(0.9), "constant": twelve(0.8, 1)}, optimizer=["sgd", "adam"])
    found = arms(findings)
    assert {arm.name for arm in found} >= {"step with sgd", "constant with adam"}
    assert {key(arm.group, findings.answer) for arm in found} >= {"step-sgd", "constant-adam"}
    assert [question.subject for question in own(findings)] == ["scheduler", "scheduler"]
    assert [question.subject for question in others(findings)] == ["optimizer"]
    assert sum(arm.is_baseline for arm in found) == 2


def test_the_comparison_at_a_common_rate_is_separate() -> None:
    findings = raced({"step": 0.93, "constant": 0.91}, lr=[0.1, 0.2])
    assert len(own(findings)) == 1
    assert others(findings) == [] or others(findings)[0].at.startswith(" at a base LR")
    assert all(min(arm.group.seeds) == 10 for arm in arms(findings))


def test_without_a_baseline_there_is_no_verdict() -> None:
    findings = fixed({"step": twelve(0.9), "wsd": twelve(0.8, 1)})
    assert own(findings) == []
    assert {arm.verdict for arm in arms(findings)} == {""}


def test_a_single_arm_may_be_best() -> None:
    (arm,) = arms(fixed({"step": twelve(0.9)}))
    assert arm.place == "may be best"
    assert (arm.gain, arm.bound) == (0, 0)


def test_failures_are_counted() -> None:
    found = {arm.name: arm for arm in arms(fixed({"step": twelve(0.9), "constant": twelve(0.8, 1)}, lost=1, dead=2))}
    assert failures(found["step"].group) == "1 of 12 diverged, 2 of 12 dead"
    assert failures(found["constant"].group) == ""


def test_if_every_run_diverged_cells_are_empty() -> None:
    found = arms(fixed({"step": twelve(0.9), "constant": twelve(0.8)}, lost=24, metric="test_loss"))
    assert {mean_and_deviation(arm.group, arm.metric) for arm in found} == {("", "")}
    assert not any(math.isnan(arm.gain) for arm in found)
