import math
from typing import Any

import pytest

from pipeline.comparison import questions as comparison
from pipeline.comparison import wording as verdict
from pipeline.comparison.questions import Confound, Question
from pipeline.records import Score
from tests.comparison.test_questions import results

OVER = "Over 5 seeds at a base LR of 0.15, "
BASE = [0.90, 0.91, 0.92, 0.93, 0.94]
UPS, NOISE = [0.021, 0.019, 0.02, 0.022, 0.018], [0.02, -0.02, 0.011, -0.012, 0.03]


def shifted(by: list[float], times: float = 1) -> list[float]:
    return [figure + times * up for figure, up in zip(BASE, by, strict=True)]


def asked(**accuracies: list[float]) -> Question:
    found = results({name.replace("_", "-"): figures for name, figures in accuracies.items()})
    (question,) = comparison.questions(comparison.grouped(found), "constant", "test_accuracy")
    return question


def test_one_that_is_better() -> None:
    found, advice = verdict.sentences(asked(step=shifted(UPS), wsd=shifted(NOISE), rex=shifted(NOISE), constant=BASE))
    assert found == (
        OVER + "1 of 3 schedulers is better than constant in test accuracy: step by 2.00 points (95% interval "
        "1.80 to 2.20); wsd and rex could not be told apart from it."
    )
    assert advice == "Use step."


def test_the_only_one_is_worse() -> None:
    found, advice = verdict.sentences(asked(step=shifted(UPS, -1), constant=BASE))
    interval = "(95% interval 1.80 to 2.20)"
    assert found == OVER + f"step is worse than constant in test accuracy, by 2.00 points {interval}."
    assert advice == "Do not use step. Stay with constant: nothing looks better."
    _, advice = verdict.sentences(asked(step=shifted(UPS), constant=BASE))
    assert advice == "Use step."


def test_more_are_better_than_a_sentence_holds() -> None:
    names = ("step", "wsd", "rex", "linear", "cosine")
    many = {name: shifted(UPS, 1 + number / 10) for number, name in enumerate(names)}
    found, advice = verdict.sentences(asked(**many, plateau=shifted(UPS, -1), constant=BASE))
    assert found.startswith(
        OVER + "5 of 6 schedulers are better than constant in test accuracy: cosine by 2.80 points ("
    )
    assert ", linear by 2.60 points (" in found
    assert " and 2 more; 1 of 6 schedulers is worse than constant in test accuracy: plateau by 2.00 points (" in found
    assert advice == (
        "Use cosine, linear, rex or 2 more: all of them beat constant; which of them is best, this does not tell."
    )


def test_none_is_resolved() -> None:
    question = asked(step=shifted(NOISE), wsd=shifted(NOISE, -1), constant=BASE)
    found, advice = verdict.sentences(question)
    assert found == OVER + "neither scheduler could be told apart from constant in test accuracy."
    needed = question.comparisons[0].needed
    assert needed is not None
    assert needed > 5
    assert advice == (
        f"Stay with constant for now: step looks 0.58 points better, which may be luck, and would take about {needed} "
        "seeds in all to settle."
    )
    assert (f"-S seeds={needed}`" in verdict.next_step([question])) == (needed <= verdict.AFFORDABLE)


def test_nothing_is_ahead() -> None:
    found, advice = verdict.sentences(asked(wsd=shifted(NOISE, -1), constant=BASE))
    assert found == OVER + "wsd could not be told apart from constant in test accuracy."
    assert advice == "Stay with constant: nothing looks better."
    assert verdict.sentences(asked(wsd=shifted(UPS, -1), constant=BASE))[1] == (
        "Do not use wsd. Stay with constant: nothing looks better."
    )


def test_one_seed() -> None:
    found, advice = verdict.sentences(asked(wsd=[0.9], constant=[0.8]))
    assert found == "One seed cannot tell schedulers apart."
    assert "-S seeds=5" in advice


@pytest.mark.parametrize(("rho", "p", "says"), [(-0.8, 0.001, "lower"), (0.8, 0.001, "higher"), (-0.8, 0.2, "")])
def test_what_the_final_rate_explains(rho: float, p: float, says: str) -> None:
    words = verdict.of_final_lr(Confound(rho, p))
    assert (says in words) if says else words == ""
    assert verdict.of_final_lr(Confound(math.nan, math.nan)) == ""


def optimizers(**accuracies: list[float]) -> Question:
    """Adam's accuracies under each scheduler; SGD's are `BASE`."""
    found = [
        (record, Score(0.0, BASE[record.run.seed]) if record.run.optimizer == "sgd" else score)
        for record, score in results(accuracies, optimizer=["sgd", "adam"])
    ]
    *_, question = comparison.questions(comparison.grouped(found), "constant", "test_accuracy")
    return question


def test_an_optimizer_under_several_schedulers() -> None:
    """It is compared under each, so that what gains most need not be what is best: no scheduler is told to be used."""
    found, advice = verdict.sentences(optimizers(step=shifted(UPS), constant=shifted(UPS, 2)))
    assert found == (
        OVER + "adam is better than sgd in test accuracy with both schedulers: with constant by 4.00 points "
        "(95% interval 3.61 to 4.39) and with step by 2.00 points (95% interval 1.80 to 2.20)."
    )
    assert advice == "Use adam, whatever the scheduler."
    found, advice = verdict.sentences(
        optimizers(step=shifted(UPS), wsd=shifted(UPS, -1), rex=shifted(NOISE), constant=shifted(UPS))
    )
    assert found.startswith(OVER + "adam is better than sgd in test accuracy with 2 of 4 schedulers: with step by")
    assert "; worse with 1 of 4 schedulers: with wsd by 2.00 points (" in found
    assert found.endswith("; with rex they could not be told apart.")
    assert advice == "If you use step or constant, use adam with it; this is no reason to choose it."
    found, advice = verdict.sentences(optimizers(step=shifted(NOISE), constant=shifted(NOISE, -1)))
    assert found == OVER + "adam could not be told apart from sgd in test accuracy with any of 2 schedulers."
    assert advice == "Stay with sgd: adam is not known to be better with any scheduler."
    found, advice = verdict.sentences(optimizers(constant=shifted(UPS)))
    assert found.startswith(OVER + "adam is better than sgd in test accuracy, by 2.00 points (")
    assert advice == "Use adam."


def test_what_a_sweep_could_have_seen() -> None:
    """Of several deviations the median counts."""
    question = asked(step=shifted(NOISE), wsd=shifted(NOISE, 2), rex=shifted(NOISE, 3), constant=BASE)
    middle = sorted(each.deviation for each in question.comparisons)[1]
    smallest = middle * comparison.detectable(5, 3)
    assert comparison.power(smallest / middle, 5, 3) == pytest.approx(0.8)
    found = verdict.of_power(question)
    assert found.startswith(
        f"With 3 comparisons and 5 seeds, only a true difference of {100 * smallest:.2f} points or "
    )
    assert ", and constant is at 92.00% already: no scheduler can gain as much. Not resolved does not" in found
    of_one = verdict.of_power(asked(step=shifted(NOISE, 0.1), constant=BASE))
    assert of_one.startswith("With one comparison and 5 seeds")
    assert "already" not in of_one
    some = verdict.of_power(asked(step=shifted(UPS), wsd=shifted(NOISE), constant=BASE))
    assert some.startswith("What is called better or worse stands; among the rest, a true difference below about ")
    assert verdict.of_power(asked(step=shifted(UPS), constant=BASE)) == ""
    assert verdict.of_power(asked(step=[0.9], constant=[0.8])) == ""


def test_what_to_do_next_is_one_command() -> None:
    """Of several questions, the one that needs most; not where it would be hopeless, or where something is better."""
    near, far = (
        asked(step=shifted([0.021, -0.004, 0.02, 0.0, 0.018]), constant=BASE),
        asked(step=shifted([0.02, -0.02, 0.015, -0.013, 0.0]), constant=BASE),
    )
    assert near.comparisons[0].needed is not None
    assert near.comparisons[0].needed < verdict.AFFORDABLE
    assert far.comparisons[0].needed is None or far.comparisons[0].needed > verdict.AFFORDABLE
    assert f"`uv run dvc exp run -S seeds={near.comparisons[0].needed}`" in verdict.next_step([near, far])
    assert verdict.next_step([far]) == ""
    assert verdict.next_step([asked(step=shifted(UPS), wsd=shifted(NOISE), constant=BASE)]) == ""


def test_what_was_trained() -> None:
    groups = comparison.grouped(results({"step": BASE, "constant": BASE}, optimizer=["sgd", "adam"]))
    assert verdict.of_runs(groups).startswith(
        "2 schedulers, with sgd and adam at a base LR of 0.15, trained with 5 seeds each: a seed is"
    )
    assert "-S 'lr=[0.05,0.15,0.45]'" in verdict.of_base_lr(groups)
    grid = comparison.grouped(results({"step": [0.9]}, lr=[0.1, 0.2]))
    assert verdict.of_runs(grid).startswith(
        "1 scheduler, with sgd at base LRs of 0.1 and 0.2, trained with 1 seed each:"
    )
    assert verdict.of_base_lr(grid) == ""
    assert verdict.of_best(groups, "test_accuracy").startswith(
        "The best mean test accuracy is that of step-sgd, 92.00%, "
    )
    own = results(
        {"step": BASE, "constant": BASE, "rex": BASE}, **{"tasks__digits-mlp__schedulers": {"step": {"lr": 0.5}}}
    )
    assert verdict.of_base_lr(comparison.grouped(own)) == (
        "First, though: base LRs differ, and a difference may be theirs: step has 0.5, the others 0.15. "
        "`uv run dvc exp run -S 'lr=[0.15,0.5]'` gives each scheduler each of them."
    )
    assert "is that of step-lr0.1, 0.1000, " in verdict.of_best(grid, "test_loss")


@pytest.mark.parametrize(
    ("accuracies", "changes", "says"),
    [
        ({"constant": BASE}, {}, "the sweep has no scheduler but constant, the baseline."),
        (
            {"step": BASE, "wsd": BASE},
            {},
            "constant, the baseline, is not in the sweep: "
            "`uv run dvc exp run -S 'scheduler=[constant,step,wsd]'` adds it.",
        ),
        (
            dict.fromkeys(("step", "wsd", "rex", "cosine"), BASE),
            {},
            "constant, the baseline, is not in the sweep.",
        ),
        (
            {"constant": BASE},
            {"lr": [0.1, 0.2]},
            "the sweep has no scheduler but constant, the baseline. By validation the best base LR of constant is 0.1.",
        ),
    ],
)
def test_there_is_nothing_to_compare(accuracies: dict[str, list[float]], changes: dict[str, Any], says: str) -> None:
    groups = comparison.grouped(results(accuracies, **changes))
    assert comparison.questions(groups, "constant", "test_accuracy") == []
    assert verdict.words(groups, [], "constant") == f"There is nothing to compare: {says}"
