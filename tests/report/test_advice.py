"""Cautions about an answer, and commands that test whether a caution is justified."""

import math
from dataclasses import replace

import pytest

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import Confound, Scale
from pipeline.report.advice import (
    at_edge_of_grid,
    base_lr,
    cautions,
    edge_of_grid,
    failures,
    few_examples,
    final_lr,
    unstable,
)
from pipeline.runs.epoch import Epoch
from pipeline.runs.metric import TEST_ACCURACY, network_figures
from pipeline.runs.records import Record, Stable
from tests.comparison.examples import BASE, findings, groups_of, results
from tests.helpers.project import load


def test_an_untuned_base_lr_is_a_caution() -> None:
    groups = groups_of({"step": BASE, "constant": BASE}, optimizer=["sgd", "adam"])
    assert base_lr(groups) == (
        "All schedulers were trained at a base LR of 0.15. Another rate may suit some schedulers better and change the "
        "answer: `uv run dvc exp run -S 'lr=[0.05,0.15,0.45]'` tries three rates, and compares each scheduler at its "
        "own best rate."
    )
    assert base_lr(groups_of({"step": [0.9]}, lr=[0.1, 0.2])) == ""
    own_rate = {"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}
    different = grouped(results({"step": BASE, "constant": BASE, "rex": BASE}, **own_rate))
    assert base_lr(different) == (
        "The base LRs differ, which may explain the result: step has 0.5, all other schedulers have 0.15. "
        "`uv run dvc exp run -S 'lr=[0.15,0.5]'` trains every scheduler at each of these rates."
    )


def over_rates(losses: dict[float, float]) -> Findings:
    """Return the findings of a sweep of two schedulers; ``losses`` maps each base rate to its validation loss."""
    found = []
    for run in load(scheduler=["step", "constant"], seeds=3, lr=list(losses)).runs():
        epochs = [Epoch.of_network(1, run.lr, 0.5, losses[run.lr], 0.9)]
        found.append((Record(run, "finished", epochs, "cpu", "2", "f"), network_figures(0.5, 0.9 + run.seed / 100)))
    return findings(grouped(found))


def test_the_best_rate_at_an_edge_of_the_grid_is_named() -> None:
    still_falling = over_rates({0.1: 0.1, 0.2: 0.2, 0.4: 0.25})
    assert edge_of_grid(still_falling) == (
        "step and constant do best at 0.1, the lowest base LR that was tried; a better rate may lie beyond it. "
        "`uv run dvc exp run -S 'lr=[0.05,0.1,0.2,0.4]'` adds 0.05."
    )
    assert at_edge_of_grid(still_falling) == ""
    assert "do best at 0.4, the highest base LR that was tried" in edge_of_grid(over_rates({0.2: 0.3, 0.4: 0.2}))
    assert edge_of_grid(over_rates({0.1: 0.3, 0.2: 0.1, 0.4: 0.2})) == ""
    assert edge_of_grid(findings(groups_of({"step": BASE, "constant": BASE}))) == ""


def test_no_suggested_rate_is_one_that_params_yaml_refuses() -> None:
    for losses in ((0.1, 0.2, 0.3), (0.3, 0.2, 0.1)):
        widest = over_rates(dict(zip((1e-30, 1.0, 1e30), losses, strict=True)))
        assert edge_of_grid(widest) == at_edge_of_grid(widest) == ""


def test_no_suggested_rate_is_unstable_by_a_range_test() -> None:
    rising = over_rates({0.2: 0.3, 0.4: 0.2})
    optimizer = rising.answer.arms[0].run.optimizer
    for high, is_said in ((0.9, True), (0.7, False), (None, True)):
        told = edge_of_grid(replace(rising, stable={optimizer: Stable(0.01, high, [0.1, 0.2])}))
        assert ("adds 0.8" in told) == is_said


def test_an_edge_is_no_caution_if_the_losses_bend_up_before_it() -> None:
    bends = over_rates({0.05: 0.12, 0.1: 0.16, 0.2: 0.5})
    assert edge_of_grid(bends) == ""
    assert at_edge_of_grid(bends) == (
        "step and constant do best at 0.05, the lowest base LR that was tried. The shape of the validation losses "
        "suggests little gain beyond this rate; `uv run dvc exp run -S 'lr=[0.025,0.05,0.1,0.2]'` tests one more rate."
    )


def test_failed_runs_are_counted() -> None:
    step, constant = groups_of({"step": BASE, "constant": BASE})
    lost = [replace(record, outcome="diverged") for record in step.records[:3]]
    assert failures([replace(step, records=[*lost, *step.records[3:]]), constant]).startswith(
        "3 of 5 runs of step diverged. These runs count"
    )
    assert failures([step, constant]) == ""


def test_a_test_split_too_small_for_the_margin_is_a_caution() -> None:
    groups = groups_of({"step": BASE, "constant": BASE})
    few = findings(groups, Scale(TEST_ACCURACY, 0.005, 1 / 6)).answer
    assert few_examples(few).startswith(
        "The test split has 6 examples, so one example is worth 16.67 points, more than the margin of 0.5 points."
    )
    assert few_examples(findings(groups, Scale(TEST_ACCURACY, 0.005, 1 / 450)).answer) == ""


@pytest.mark.parametrize(("rho", "says"), [(-0.8, "lower"), (0.8, "higher")])
def test_a_correlation_with_the_final_rate_is_a_caution(rho: float, says: str) -> None:
    note = final_lr(Confound(rho, 0.001))
    assert note.startswith(f"Schedules that end at a {says} rate do better here (rank correlation 0.80, p = 0.001), ")


def test_a_correlation_that_is_not_significant_is_not_mentioned() -> None:
    assert final_lr(Confound(-0.8, 0.2)) == final_lr(Confound(math.nan, math.nan)) == ""


STABLE = {"sgd": Stable(0.002, 0.1, [0.02, 0.05, 0.08])}


def test_rates_outside_the_stable_range_are_named_with_stable_ones() -> None:
    runs = load(scheduler=["step", "constant"], seeds=2, lr=[0.001, 0.05, 0.15, 1.0]).runs()
    low, high = unstable(runs, STABLE)
    assert low == (
        "At a base LR of 0.001 (step and constant), sgd is too slow for a run of this length: a range test says it "
        "needs 0.002. `uv run dvc exp run -S 'lr=[0.02,0.05,0.08]'` tries rates in the stable range."
    )
    assert high == (
        "At base LRs of 0.15 and 1 (step and constant), sgd is not stable: in a range test, the loss rises for good "
        "above 0.1. `uv run dvc exp run -S 'lr=[0.02,0.05,0.08]'` tries rates in the stable range."
    )
    assert unstable(runs, {}) == []


def test_a_range_may_have_no_upper_end() -> None:
    runs = load(scheduler="step", seeds=1, lr=[0.001, 0.05, 1e30]).runs()
    assert unstable(runs, {"sgd": Stable(0.002, None, [0.02, 0.05, 0.08])}) == [
        "At a base LR of 0.001 (step), sgd is too slow for a run of this length: a range test says it needs 0.002. "
        "`uv run dvc exp run -S 'lr=[0.02,0.05,0.08]'` tries rates in the stable range."
    ]


def test_no_rate_is_suggested_if_a_run_is_too_short_for_all_of_them() -> None:
    runs = load(scheduler="step", seeds=1, lr=0.15).runs()
    for high in (None, 0.1):
        assert unstable(runs, {"sgd": Stable(0.2, high, [0.02, 0.05, 0.08])}) == [
            "At a base LR of 0.15 (step), sgd is too slow for a run of this length: a range test says it needs 0.2. "
            "The run is too short for any stable rate: train for more epochs."
        ]


def test_unstable_rates_come_first_and_are_the_only_advice_on_rates() -> None:
    found = findings(groups_of({"step": BASE, "constant": BASE}), Scale(TEST_ACCURACY, 0.005, 1 / 6))
    first, *rest = cautions(replace(found, stable=STABLE))
    assert first.startswith("At a base LR of 0.15 (step and constant), sgd is not stable")
    assert rest == [few_examples(found.answer)]
    assert base_lr(found.sweep.groups) in cautions(found)
    alone = replace(findings(groups_of({"step": BASE})), stable=STABLE)
    assert len(cautions(alone)) == 1


def test_a_rate_that_no_scheduler_chose_is_no_caution() -> None:
    found = over_rates({0.05: 0.12, 0.1: 0.10, 0.2: 0.5})
    assert {group.run.lr for group in found.answer.arms} == {0.1}
    assert cautions(replace(found, stable=STABLE)) == cautions(found)


def test_without_a_comparison_there_are_no_cautions() -> None:
    assert cautions(findings(groups_of({"step": BASE}))) == []
