import pytest

from pipeline.comparison.phrases import amount, interval, joined, number, plural, shortened
from tests.comparison.examples import BASE, UPS, asked, shifted


def test_accuracies_differ_in_points_and_losses_as_they_are() -> None:
    assert amount(0.0138, "test_accuracy") == "1.38 points"
    assert amount(0.0138, "test_loss") == "0.0138"
    assert number(0.0138, "test_accuracy", signed=True) == "+1.38"
    assert number(-0.0138, "test_loss", signed=True) == "-0.0138"


def test_an_interval_may_be_unknown() -> None:
    assert interval(asked(step=shifted(UPS), constant=BASE).comparisons[0]) == "+1.80 to +2.20"
    assert interval(asked(step=[0.9], constant=[0.8]).comparisons[0]) == "unknown"


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


def test_a_noun_follows_its_count() -> None:
    assert [plural(count, "seed") for count in (1, 2)] == ["1 seed", "2 seeds"]
