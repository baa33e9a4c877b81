"""The end of an error line, which suggests the nearest name and lists the allowed names."""

import pytest

from pipeline.errors import did_you_mean, plural


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("cosin", "did you mean 'cosine'? allowed: cosine, step"),
        ("x", "allowed: cosine, step"),
        (3, "allowed: cosine, step"),
    ],
)
def test_the_nearest_name_is_offered(word: object, line: str) -> None:
    assert did_you_mean(word, ["step", "cosine"]) == line


def test_an_empty_list_of_allowed_names() -> None:
    assert did_you_mean("x", []) == "allowed: none"


def test_a_noun_agrees_with_its_count() -> None:
    assert [plural(count, "class", "es") for count in (1, 2)] == ["1 class", "2 classes"]
    assert plural(1200, "seed") == "1,200 seeds"
