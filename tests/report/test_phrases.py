import math
from dataclasses import replace

import pytest

from pipeline.comparison.questions import Scale
from pipeline.report.phrases import amount, interval, joined, number, shortened
from pipeline.runs.metric import TEST_ACCURACY, TEST_LOSS
from tests.comparison.examples import BASE, BLEU, ERROR_RATE, UPS, asked, shifted


def test_accuracies_differ_in_points_and_losses_in_per_cent() -> None:
    assert amount(0.0138, TEST_ACCURACY) == amount(-0.0138, TEST_ACCURACY) == "1.38 points"
    assert amount(-math.log1p(-0.12), TEST_LOSS) == amount(math.log1p(-0.12), TEST_LOSS) == "12%"
    assert number(0.0138, TEST_ACCURACY) == "+1.38"
    assert number(math.log(2), TEST_LOSS) == "-50%"
    assert number(-math.log(2), TEST_LOSS) == "+100%"
    assert number(math.log(1.01), TEST_LOSS) == "-1.0%"
    assert [number(-math.log(times), TEST_LOSS) for times in (11.7, 9_001, 1e7)] == [
        "+1,070%",
        "+900,000%",
        "+1e+09%",
    ]
    assert number(math.inf, TEST_ACCURACY) == "?"


def test_the_sign_is_that_of_the_figures_difference_and_not_of_the_verdict() -> None:
    """A scheduler is better if its error rate is lower or its score is higher."""
    assert (amount(0.02, ERROR_RATE), number(0.02, ERROR_RATE)) == ("2.00 points", "-2.00")
    assert (amount(math.log(2), BLEU), number(math.log(2), BLEU)) == ("50%", "+100%")
    found = asked(step=shifted(UPS), constant=BASE).comparisons[0]
    assert interval(replace(found, scale=Scale(ERROR_RATE, 0.005))) == "-2.20 to -1.80"
    assert interval(replace(found, scale=Scale(BLEU, 0.1), low=math.log(1.5), high=math.log(2))) == "+50% to +100%"


def test_an_interval_goes_from_the_lower_figure_to_the_higher() -> None:
    found = asked(step=shifted(UPS), constant=BASE).comparisons[0]
    assert interval(found) == "+1.80 to +2.20"
    loss = replace(found, scale=Scale(TEST_LOSS, 0.1), low=math.log(1.25), high=math.log(2))
    assert interval(loss) == "-50% to -20%"
    assert interval(asked(step=[0.9], constant=[0.8]).comparisons[0]) == "?"


@pytest.mark.parametrize(
    ("count", "words", "short"),
    [
        (1, "a", "a"),
        (2, "a and b", "a and b"),
        (3, "a, b and c", "a, b and c"),
        (5, "a, b, c, d and e", "a, b, c and 2 more"),
    ],
)
def test_lists_are_joined_in_words(count: int, words: str, short: str) -> None:
    assert joined(list("abcde")[:count]) == words
    assert shortened(list("abcde")[:count]) == short
