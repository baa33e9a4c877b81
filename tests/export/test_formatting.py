"""Calls, lists and dicts are laid out as a code formatter would lay them out."""

import pytest

from pipeline.export.formatting import WIDTH, Raw, as_source, call, comment, lines


def test_a_short_value_is_one_line() -> None:
    made = call("f", Raw("x"), a=1e-6, b={"c": "d"})
    assert lines(made, "y = ", ",", 4) == ['    y = f(x, a=1e-06, b={"c": "d"}),']


def test_a_long_value_has_a_line_for_each_item() -> None:
    short = call("g", Raw("x"), Raw("y"))
    made = lines(call("f", short, [short] * 20), "y = ")
    assert made[:4] == ["y = f(", "    g(x, y),", "    [", "        g(x, y),"]
    assert made[-2:] == ["    ],", ")"]


@pytest.mark.parametrize("text", ["cos", "it's", 'a "quote"', "back\\slash", "new\nline"])
def test_the_source_of_a_text_evaluates_to_the_text(text: str) -> None:
    (source,) = lines(text)
    assert eval(source) == text
    assert source.startswith('"') or '"' in text


def test_the_source_of_a_nested_value_evaluates_to_the_value() -> None:
    value = {"betas": (0.9, 0.999), "parts": [{"a": None, "it's": [1, 2.5]}, True], "empty": []}
    assert eval("".join(lines(value))) == value
    assert as_source(as_source(value)) == as_source(value)


def test_a_comment_is_as_wide_as_the_code() -> None:
    made = comment("word " * 60)
    assert len(made) > 2
    assert all(line.startswith("# ") and len(line) <= WIDTH for line in made)
