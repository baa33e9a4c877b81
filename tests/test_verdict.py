import math

import pytest

from pipeline import comparison, verdict
from pipeline.comparison import Confound, Question
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
        "With 5 seeds, 1 of 3 schedulers is better than constant: step by 2.00 points (95% interval +1.80 to +2.20); "
        "of the other 2 it is not resolved whether they differ."
    )
    assert advice == "Use step, which gains most."


def test_more_are_better_than_a_sentence_holds() -> None:
    names = ("step", "wsd", "rex", "linear", "cosine")
    many = {name: shifted(UPS, 1 + number / 10) for number, name in enumerate(names)}
    found, advice = verdict.sentences(asked(**many, plateau=shifted(UPS, -1), constant=BASE))
    assert found.startswith("With 5 seeds, 5 of 6 schedulers are better than constant: cosine by 2.80 points (")
    assert ", linear by 2.60 points (" in found
    assert " and 2 more; 1 of 6 schedulers is worse than constant: plateau by 2.00 points (" in found
    assert advice == "Use cosine, which gains most; the others that are better may be as good."


def test_none_is_resolved() -> None:
    question = asked(step=shifted(NOISE), wsd=shifted(NOISE, -1), constant=BASE)
    found, advice = verdict.sentences(question)
    assert found == "With 5 seeds, none of 2 schedulers could be told apart from constant."
    needed = question.comparisons[0].needed
    assert needed is not None
    assert needed > 5
    assert advice == (
        "Keep constant, or take what you like: the 0.58 points that step is ahead by would take about "
        f"{needed} seeds to resolve (`-S seeds={needed}`)."
    )


def test_nothing_is_ahead() -> None:
    found, advice = verdict.sentences(asked(wsd=shifted(NOISE, -1), constant=BASE))
    assert found == "With 5 seeds, wsd could not be told apart from constant."
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
