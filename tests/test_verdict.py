import math
from typing import Any

import pytest

from pipeline import comparison, verdict
from pipeline.comparison import Confound, Question
from pipeline.records import Score
from tests.test_comparison import results

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
        "Over 5 seeds, 1 of 3 schedulers is better than constant in test accuracy: step by 2.00 points (95% interval "
        "1.80 to 2.20); of the other 2 it is not resolved whether they differ."
    )
    assert advice == "Use step, which gains most."


def test_the_only_one_is_worse() -> None:
    found, advice = verdict.sentences(asked(step=shifted(UPS, -1), constant=BASE))
    interval = "(95% interval 1.80 to 2.20)"
    assert found == f"Over 5 seeds, step is worse than constant in test accuracy, by 2.00 points {interval}."
    assert advice == "Keep constant: nothing is ahead of it."
    _, advice = verdict.sentences(asked(step=shifted(UPS), constant=BASE))
    assert advice == "Use step."


def test_more_are_better_than_a_sentence_holds() -> None:
    names = ("step", "wsd", "rex", "linear", "cosine")
    many = {name: shifted(UPS, 1 + number / 10) for number, name in enumerate(names)}
    found, advice = verdict.sentences(asked(**many, plateau=shifted(UPS, -1), constant=BASE))
    assert found.startswith(
        "Over 5 seeds, 5 of 6 schedulers are better than constant in test accuracy: cosine by 2.80 points ("
    )
    assert ", linear by 2.60 points (" in found
    assert " and 2 more; 1 of 6 schedulers is worse than constant in test accuracy: plateau by 2.00 points (" in found
    assert advice == "Use cosine, which gains most; the others that are better may be as good."


def test_none_is_resolved() -> None:
    question = asked(step=shifted(NOISE), wsd=shifted(NOISE, -1), constant=BASE)
    found, advice = verdict.sentences(question)
    assert found == "Over 5 seeds, neither scheduler could be told apart from constant in test accuracy."
    needed = question.comparisons[0].needed
    assert needed is not None
    assert needed > 5
    assert advice == (
        "Keep constant, or take what you like: the 0.58 points that step is ahead by would take about "
        f"{needed} seeds to resolve (`-S seeds={needed}`)."
    )


def test_nothing_is_ahead() -> None:
    found, advice = verdict.sentences(asked(wsd=shifted(NOISE, -1), constant=BASE))
    assert found == "Over 5 seeds, wsd could not be told apart from constant in test accuracy."
    assert advice == "Keep constant: nothing is ahead of it."
    assert verdict.sentences(asked(wsd=shifted(UPS, -1), constant=BASE))[1] == "Keep constant: nothing is ahead of it."


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
        "Over 5 seeds, adam is better than sgd in test accuracy under both schedulers: constant by 4.00 points (95% "
        "interval 3.61 to 4.39) and step by 2.00 points (95% interval 1.80 to 2.20)."
    )
    assert advice == "Use adam."
    found, advice = verdict.sentences(
        optimizers(step=shifted(UPS), wsd=shifted(UPS, -1), rex=shifted(NOISE), constant=shifted(UPS))
    )
    assert found.startswith("Over 5 seeds, adam is better than sgd in test accuracy under 2 of 4 schedulers: step by")
    assert "; worse under 1 of 4 schedulers: wsd by 2.00 points (" in found
    assert found.endswith("; of the other one it is not resolved whether they differ.")
    assert advice == "Under step and constant use adam."
    found, advice = verdict.sentences(optimizers(step=shifted(NOISE), constant=shifted(NOISE, -1)))
    assert found == "Over 5 seeds, adam could not be told apart from sgd in test accuracy under any of 2 schedulers."
    assert advice == "Keep sgd: adam is not known to be better."
    found, advice = verdict.sentences(optimizers(constant=shifted(UPS)))
    assert found.startswith("Over 5 seeds, adam is better than sgd in test accuracy, by 2.00 points (")
    assert advice == "Use adam."


def test_what_a_sweep_could_have_seen() -> None:
    """Of several deviations the median counts."""
    question = asked(step=shifted(UPS), wsd=shifted(NOISE), rex=shifted(NOISE, 2), constant=BASE)
    deviations = [each.deviation for each in question.comparisons]
    smallest = 100 * sorted(deviations)[1] * comparison.detectable(5, 3)
    assert comparison.power(smallest / 100 / sorted(deviations)[1], 5, 3) == pytest.approx(0.8)
    assert verdict.of_power(question) == (
        f"A sweep like this, 3 comparisons with 5 seeds, finds a difference of {smallest:.2f} points four times out of "
        "five, and smaller ones less often."
    )
    assert verdict.of_power(asked(step=shifted(UPS), constant=BASE)) == ""
    assert verdict.of_power(asked(step=[0.9], constant=[0.8])) == ""
    assert "one comparison with 5 seeds" in verdict.of_power(asked(step=shifted(NOISE), constant=BASE))


@pytest.mark.parametrize(
    ("accuracies", "changes", "says"),
    [
        ({"constant": BASE}, {}, "the sweep has no scheduler but constant, the baseline."),
        (
            {"step": BASE, "wsd": BASE},
            {},
            "constant, the baseline, is not in the sweep: `-S 'scheduler=[constant,step,wsd]'` adds it.",
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
