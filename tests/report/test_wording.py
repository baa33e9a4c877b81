"""The answer and the comparisons, put into words."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.comparison.answer import scale
from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import Question, Scale
from pipeline.report.advice import next_step
from pipeline.report.wording import basis, headline, question_result, setup, verdict
from pipeline.runs.metric import TEST_ACCURACY, TEST_LOSS, Metric, network_figures
from tests.comparison.examples import (
    BASE,
    BLEU,
    ERROR_RATE,
    NOISE,
    UPS,
    answers,
    asked,
    findings,
    groups_of,
    results,
    shifted,
    with_other_figures,
)
from tests.comparison.noisy import figures
from tests.report.sweeps import fixed as fixed_sweep

SCALE_OF_FEW = Scale(TEST_ACCURACY, 0.002, 1 / 450)
OVER = "Provisional, over 5 seeds at a base LR of 0.15, "


def told(budget: int | None = None, **means: float) -> str:
    return headline(findings(groups_of(figures(**means)), budget=budget))


def test_one_scheduler_is_best_and_beats_the_baseline() -> None:
    assert told(constant=0, step=2, rex=-1) == (
        "Use step: 95% sure that nothing here is more than 0.5 points better, and that it beats constant."
    )


def test_several_are_good_enough() -> None:
    assert told(constant=0, cosine=2, rex=2) == (
        "Use rex or cosine: 95% sure that nothing here is more than 0.5 points better than either, and that both "
        "beat constant."
    )
    assert told(constant=0, cosine=2, rex=2, chained=2.05) == (
        "Use rex, cosine or chained: 95% sure that nothing here is more than 0.5 points better than any of these, "
        "and that each beats constant."
    )


def test_the_baseline_is_good_enough() -> None:
    assert told(constant=2, step=0) == (
        "Stay with constant: 95% sure that nothing here is more than 0.5 points better."
    )
    for step in (0.05, -0.05):
        assert told(constant=0, step=step, rex=-2) == (
            "For practical purposes the same: constant and step. Nothing here is more than 0.5 points better than "
            "either (95% sure)."
        )


def test_without_a_baseline() -> None:
    assert told(step=2, rex=0) == "Use step: 95% sure that nothing here is more than 0.5 points better."


def test_the_margin_of_a_loss_is_in_per_cent() -> None:
    found = findings(groups_of(figures(constant=0, step=4)), Scale(TEST_LOSS, -np.log1p(-0.1)))
    assert headline(found).startswith("Use step: 95% sure that nothing here is more than 10% better, and that it beats")


@pytest.mark.parametrize(
    ("metric", "mean"), [(ERROR_RATE, "lowest mean error rate, 1"), (BLEU, "highest mean bleu, 8.")]
)
def test_other_figures_have_an_answer(metric: Metric, mean: str) -> None:
    found = findings(with_other_figures(figures(constant=0, step=4)), scale(metric, 0.5, 450))
    assert headline(found).startswith("Use step: 95% sure that nothing here is more than 0.5")
    assert basis(found)[1].startswith(f"step has the {mean}")


def test_the_answer_is_not_known_yet() -> None:
    few = {name: row[:12] for name, row in figures(constant=0, step=0.25, rex=0.2).items()}
    open_ = headline(findings(groups_of(few), budget=36))
    assert open_.startswith("Not known yet: the budget of 36 runs is spent. step leads: 95% sure that nothing here is")
    assert open_.endswith("; whether it beats constant is open.")
    fixed = findings(groups_of(few))
    assert headline(fixed).startswith("Not known yet: 12 seeds cannot tell. step leads: ")
    assert next_step(fixed).startswith("`uv run dvc exp run -S seeds=auto` adds seeds until the answer is known; ")
    assert next_step(findings(groups_of(few), budget=36)).startswith("`uv run dvc exp run -S budget=72` continues")


def test_few_seeds_make_the_answer_provisional() -> None:
    few = findings(groups_of({name: row[:5] for name, row in figures(constant=0, step=4).items()}))
    assert headline(few).startswith("Provisional, from 5 seeds: ")
    assert "-S seeds=auto`" in next_step(few)
    one = findings(groups_of({"constant": [0.9], "step": [0.95]}))
    assert headline(one) == "Not known yet: 1 seed cannot tell which is best."


def test_the_basis_of_an_answer() -> None:
    found = findings(groups_of(figures(constant=0, step=2, rex=-1)))
    told = basis(found)
    assert told[0] == "This answer rests on 90 runs: 30 seeds of each scheduler."
    assert told[1].startswith("step has the highest mean test accuracy, 8")
    assert "Over their common seeds, step is 1.97 points better (95% confidence: at least 1." in told[1]
    assert told[2] == "Not needed, because something here is better: constant and rex."
    assert told[3] == "Against constant, 1 is better and 1 is worse."
    assert told[-2].endswith("not in the data.")
    assert told[-2].startswith("All of this accounts for chance in the initial weights")
    assert told[-1] == "step is lr · gamma^floor(t / step_size) (PyTorch)."
    (round_,) = found.answer.rounds
    raced = basis(replace(found, answer=replace(found.answer, rounds=[round_, round_], budget=90)))
    more = "After the first round, only schedulers that could still change the answer got more seeds"
    assert f"{more}; the test accounts for that." in raced


def test_a_nan_mean_is_not_printed() -> None:
    told = " ".join(basis(fixed_sweep({"step": [0.9, 0.8], "constant": [0.9, 0.8]}, lost=4, metric="test_loss")))
    assert "This answer rests on 4 runs" in told
    assert "nan" not in told


def test_the_basis_explains_the_leaders_formula_and_the_test_split() -> None:
    told = basis(findings(groups_of(figures(constant=0, rex=2, wsd=1.8, cosine=1.75)), SCALE_OF_FEW))
    assert any(line.startswith("rex is lr · ") and "Chen" in line for line in told)
    assert any(line.startswith("All of this") and line.endswith("the test split has 450 examples.") for line in told)


def test_no_scheduler_is_better() -> None:
    told = basis(findings(groups_of(figures(constant=0, step=0.1, rex=0.05))))
    assert any(line.startswith("Against constant, none is shown to be better") for line in told)


def test_the_verdict_has_the_answer_then_the_caution_then_the_basis() -> None:
    found = findings(groups_of(figures(constant=0, step=2)))
    first, caution, rest = verdict(found).split("\n\n")
    assert first == headline(found)
    assert caution.startswith("First, though: All schedulers were trained at a base LR of 0.15.")
    assert rest == " ".join(basis(found))


@pytest.mark.parametrize(
    ("accuracies", "changes", "says"),
    [
        ({"constant": BASE}, {}, "the baseline, constant, is the only scheduler in the sweep."),
        (
            {"step": BASE},
            {},
            "the baseline, constant, is not in the sweep. "
            "Add the baseline with `uv run dvc exp run -S 'scheduler=[constant,step]'`.",
        ),
        (
            {"constant": BASE},
            {"lr": [0.1, 0.2]},
            "the baseline, constant, is the only scheduler in the sweep. By validation loss, the best base LR is 0.1 "
            "for constant.",
        ),
    ],
)
def test_there_is_nothing_to_compare(accuracies: dict[str, list[float]], changes: dict[str, Any], says: str) -> None:
    found = findings(groups_of(accuracies, **changes))
    assert verdict(found) == headline(found) == f"There is nothing to compare: {says}"


def test_comparisons_in_words() -> None:
    tiny = [0.0001, -0.0001, 0.0002, 0.0, -0.0002]
    found = question_result(
        asked(step=shifted(UPS), cosine=shifted(UPS, -1), rex=shifted(NOISE), wsd=shifted(tiny), constant=BASE)
    )
    assert found.startswith(
        OVER + "1 of 4 schedulers is better than constant in test accuracy: step by 2.00 points (+1."
    )
    assert "; 1 of 4 schedulers is worse than constant in test accuracy: cosine by 2.00 points (-2." in found
    assert found.endswith("; wsd is equivalent to constant in test accuracy (at most 0.5 points apart); rex is open.")
    assert question_result(asked(wsd=[0.9], constant=[0.8])) == "One seed is too few to tell schedulers apart."


def optimizers(**accuracies: list[float]) -> Question:
    """Return the question about optimizers; Adam has the given accuracies, and SGD has `BASE` with every scheduler."""
    found = [
        (record, network_figures(0.0, BASE[record.run.seed]) if record.run.optimizer == "sgd" else score)
        for record, score in results(accuracies, optimizer=["sgd", "adam"])
    ]
    *_, question = answers(grouped(found))
    return question


def test_an_optimizer_under_several_schedulers() -> None:
    found = question_result(optimizers(step=shifted(UPS), constant=shifted(UPS, 2)))
    assert found == f"{OVER}adam against sgd in test accuracy: better with both schedulers (step and constant)."
    mixed = question_result(
        optimizers(step=shifted(UPS), wsd=shifted(UPS, -1), rex=shifted(NOISE), constant=shifted(UPS))
    )
    assert "better with 2 of 4 schedulers (step and constant), worse with 1 of 4 schedulers (wsd), open with 1" in mixed


def test_with_several_optimizers_names_include_the_optimizer() -> None:
    both = findings(groups_of(figures(constant=0, step=2), optimizer=["sgd", "adam"]))
    assert "step with sgd" in headline(both)


def test_the_setup_describes_the_sweep() -> None:
    groups = groups_of({"step": BASE, "constant": BASE}, optimizer=["sgd", "adam"])
    assert setup(findings(groups)).startswith("2 schedulers with sgd and adam at a base LR of 0.15, 20 runs. A seed")
    grid = groups_of({"step": [0.9]}, lr=[0.1, 0.2])
    assert setup(findings(grid)).startswith("1 scheduler with sgd at base LRs of 0.1 and 0.2, 2 runs.")


def test_comparisons_without_significant_differences() -> None:
    found = question_result(asked(step=shifted(NOISE), rex=shifted(NOISE, -1), constant=BASE))
    assert found == f"{OVER}none of the 2 schedulers is shown to differ from constant in test accuracy."
    one = question_result(asked(step=shifted(NOISE), constant=BASE))
    assert one == f"{OVER}step is not shown to differ from constant in test accuracy."
