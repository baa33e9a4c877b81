from typing import Any

import pytest

from pipeline.comparison.groups import grouped
from pipeline.comparison.questions import Question, questions
from pipeline.comparison.wording import best_mean, nothing_to_compare, sentences, setup, verdict
from pipeline.records import Score
from tests.comparison.examples import BASE, NOISE, UPS, asked, groups_of, results, shifted

OVER = "Over 5 seeds at a base LR of 0.15, "
BY_TWO = "by 2.00 points (95% interval 1.80 to 2.20)"


def test_one_is_better() -> None:
    found, advice = sentences(asked(step=shifted(UPS), wsd=shifted(NOISE), rex=shifted(NOISE), constant=BASE))
    assert found == (
        f"{OVER}1 of 3 schedulers is better than constant in test accuracy: step {BY_TWO}; "
        "wsd and rex could not be told apart from it."
    )
    assert advice == "Use step."


def test_the_only_one_is_better_or_worse() -> None:
    found, advice = sentences(asked(step=shifted(UPS, -1), constant=BASE))
    assert found == f"{OVER}step is worse than constant in test accuracy, {BY_TWO}."
    assert advice == "Do not use step. Stay with constant: nothing looks better."
    found, advice = sentences(asked(step=shifted(UPS), constant=BASE))
    assert found == f"{OVER}step is better than constant in test accuracy, {BY_TWO}."
    assert advice == "Use step."


def test_more_are_better_than_a_sentence_holds() -> None:
    names = ("step", "wsd", "rex", "linear", "cosine")
    many = {name: shifted(UPS, 1 + number / 10) for number, name in enumerate(names)}
    found, advice = sentences(asked(**many, plateau=shifted(UPS, -1), constant=BASE))
    assert found.startswith(f"{OVER}5 of 6 schedulers are better than constant in test accuracy: cosine by 2.80 points")
    assert ", linear by 2.60 points (" in found
    assert " and 2 more; 1 of 6 schedulers is worse than constant in test accuracy: plateau by 2.00 points (" in found
    assert advice == ("Use cosine, linear, rex or 2 more: all beat constant, but this sweep cannot say which is best.")


def test_two_are_better() -> None:
    _, advice = sentences(asked(step=shifted(UPS), wsd=shifted(UPS, 2), constant=BASE))
    assert advice == "Use wsd or step: both beat constant, but this sweep cannot say which is better."


def test_none_is_resolved() -> None:
    found, _ = sentences(asked(step=shifted(NOISE), wsd=shifted(NOISE, -1), constant=BASE))
    assert found == OVER + "neither scheduler could be told apart from constant in test accuracy."
    found, _ = sentences(asked(step=shifted(NOISE), wsd=shifted(NOISE, -1), rex=shifted(NOISE), constant=BASE))
    assert found == OVER + "none of the 3 schedulers could be told apart from constant in test accuracy."
    found, _ = sentences(asked(wsd=shifted(NOISE, -1), constant=BASE))
    assert found == OVER + "wsd could not be told apart from constant in test accuracy."


def test_one_seed() -> None:
    found, advice = sentences(asked(wsd=[0.9], constant=[0.8]))
    assert found == "One seed cannot tell schedulers apart."
    assert advice == "Run at least two, better five or ten: `uv run dvc exp run -S seeds=5`."


def optimizers(**accuracies: list[float]) -> Question:
    """Return the question about optimizers: the figures are Adam's, and SGD's are `BASE` under each scheduler."""
    found = [
        (record, Score(0.0, BASE[record.run.seed]) if record.run.optimizer == "sgd" else score)
        for record, score in results(accuracies, optimizer=["sgd", "adam"])
    ]
    *_, question = questions(grouped(found), "constant", "test_accuracy")
    return question


def test_an_optimizer_under_several_schedulers() -> None:
    """It is compared under each, so the largest gain need not be the best result, and no scheduler is advised."""
    found, advice = sentences(optimizers(step=shifted(UPS), constant=shifted(UPS, 2)))
    assert found == (
        f"{OVER}adam is better than sgd in test accuracy with both schedulers: with constant by 4.00 points "
        f"(95% interval 3.61 to 4.39) and with step {BY_TWO}."
    )
    assert advice == "Use adam, whatever the scheduler."
    found, advice = sentences(
        optimizers(step=shifted(UPS), wsd=shifted(UPS, -1), rex=shifted(NOISE), constant=shifted(UPS))
    )
    assert found.startswith(OVER + "adam is better than sgd in test accuracy with 2 of 4 schedulers: with step by")
    assert f"; worse with 1 of 4 schedulers: with wsd {BY_TWO}" in found
    assert found.endswith("; with rex they could not be told apart.")
    assert advice == "If you use step or constant, use adam with it. This does not say which scheduler to use."


def test_an_optimizer_that_is_not_better() -> None:
    found, advice = sentences(optimizers(step=shifted(NOISE), constant=shifted(NOISE, -1)))
    assert found == OVER + "adam could not be told apart from sgd in test accuracy with either scheduler."
    assert advice == "Stay with sgd: adam is not shown to be better with any scheduler."
    found, _ = sentences(optimizers(step=shifted(NOISE), wsd=shifted(NOISE), constant=shifted(NOISE)))
    assert found.endswith("with any of the 3 schedulers.")


def test_an_optimizer_under_one_scheduler() -> None:
    found, advice = sentences(optimizers(constant=shifted(UPS)))
    assert found == f"{OVER}adam is better than sgd in test accuracy, {BY_TWO}."
    assert advice == "Use adam."


def test_the_setup_says_what_was_trained() -> None:
    groups = groups_of({"step": BASE, "constant": BASE}, optimizer=["sgd", "adam"])
    assert setup(groups).startswith("2 schedulers with sgd and adam at a base LR of 0.15, 5 seeds each. A seed sets")
    grid = groups_of({"step": [0.9]}, lr=[0.1, 0.2])
    assert setup(grid).startswith("1 scheduler with sgd at base LRs of 0.1 and 0.2, 1 seed each.")


def test_the_best_mean_is_no_verdict() -> None:
    groups = groups_of({"step": BASE, "constant": BASE}, optimizer=["sgd", "adam"])
    start = "step-sgd has the best mean test accuracy, 92.00%, but that alone does not make it better"
    assert best_mean(groups, "test_accuracy").startswith(start)
    grid = groups_of({"step": [0.9]}, lr=[0.1, 0.2])
    assert "step-lr0.1 has the best mean test loss, 0.1000, " in best_mean(grid, "test_loss")


def test_several_questions_are_paragraphs_with_titles() -> None:
    groups = groups_of({"step": shifted(UPS), "constant": BASE}, optimizer=["sgd", "adam"])
    asked_together = questions(groups, "constant", "test_accuracy")
    paragraphs = verdict(groups, asked_together, "constant").split("\n\n")
    assert [paragraph.partition(": ")[0] for paragraph in paragraphs] == [question.title for question in asked_together]
    only = asked(step=shifted(UPS), constant=BASE)
    assert verdict(groups, [only], "constant") == " ".join(sentences(only))


@pytest.mark.parametrize(
    ("accuracies", "changes", "says"),
    [
        ({"constant": BASE}, {}, "the baseline, constant, is the only scheduler in the sweep."),
        (
            {"step": BASE, "wsd": BASE},
            {},
            "the baseline, constant, is not in the sweep. "
            "Add it: `uv run dvc exp run -S 'scheduler=[constant,step,wsd]'`.",
        ),
        (
            dict.fromkeys(("step", "wsd", "rex", "cosine"), BASE),
            {},
            "the baseline, constant, is not in the sweep.",
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
    groups = groups_of(accuracies, **changes)
    assert questions(groups, "constant", "test_accuracy") == []
    assert verdict(groups, [], "constant") == f"There is nothing to compare: {says}"
    assert nothing_to_compare(groups, "constant") == verdict(groups, [], "constant")
