import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from pipeline.comparison.groups import Group, grouped, ranked
from pipeline.comparison.questions import Question, questions
from pipeline.records import Score
from pipeline.report import terminal
from pipeline.sweep.cache import Entry
from tests.comparison.examples import BASE, UPS, groups_of, results, shifted

FIGURES = {"step": [0.7, 0.9], "constant": [0.65, 0.8]}


def sweep(figures: dict[str, list[float]] = FIGURES, **changes: Any) -> tuple[list[Group], list[Question]]:
    groups = groups_of(figures, **changes)
    return groups, questions(groups, "constant", "test_accuracy")


@dataclass
class Screen:
    """A console of a fixed width, and what was printed on it."""

    console: Console
    stream: io.StringIO

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def screen(width: int = 100) -> Screen:
    stream = io.StringIO()
    return Screen(Console(file=stream, width=width), stream)


def test_the_ranking_is_a_table() -> None:
    shown = screen()
    groups, asked = sweep()
    terminal.print_ranking(shown.console, "digits-mlp", ranked(groups, "test_accuracy"), "test_accuracy", asked)
    assert shown.lines[0].strip() == "digits-mlp, test set: mean ± standard deviation over 2 seeds"
    assert "diverged" not in shown.text
    first = next(line for line in shown.lines if " 1 " in line)
    assert first.split()[:5] == ["1", "step", "0.8000", "±", "0.1414"]
    assert "* test accuracy minus that of constant, paired by seed: mean ± half the 95% interval" in shown.text


def test_the_ranking_says_what_is_better() -> None:
    shown = screen(140)
    groups, asked = sweep({"step": shifted(UPS), "rex": shifted(UPS, -1), "wsd": BASE[::-1], "constant": BASE})
    terminal.print_ranking(shown.console, "digits-mlp", groups, "test_accuracy", asked)
    step, rex, wsd, constant = (
        next(line for line in shown.lines if f" {name} " in line) for name in ("step", "rex", "wsd", "constant")
    )
    assert "+0.0200 ± 0.0020   better" in step
    assert "-0.0200 ± 0.0020   worse" in rex
    assert "not resolved" in wsd
    assert "better" not in constant
    assert "Holm-corrected for 3 comparisons" in shown.text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_ranking_fits_its_terminal(width: int) -> None:
    shown = screen(width)
    groups, asked = sweep({name: [0.5, 0.6] for name in ("constant", "constant-factor", "cosine-restarts")})
    terminal.print_ranking(shown.console, "digits-mlp", groups, "test_accuracy", asked)
    terminal.print_answers(shown.console, groups, asked, "test_accuracy")
    assert "…" not in shown.text
    assert "cosine-restarts" in shown.text
    assert ("learning curve" in shown.text) == (width >= 200)
    assert ("final LR" in shown.text) == (width >= 100)
    assert "+0.0000" in shown.text
    assert max(len(line) for line in shown.lines if "`" not in line) <= width  # a command is not wrapped


def test_a_ranking_with_long_names_and_failures_fits() -> None:
    shown = screen(120)
    found = results({name: [0.5, 0.6] for name in ("constant", "constant-factor", "cosine-restarts")}, lr=[0.125, 0.25])
    found[0] = (replace(found[0][0], outcome="diverged"), Score(float("nan"), 0.1))
    terminal.print_ranking(shown.console, "digits-mlp", grouped(found), "test_accuracy", [])
    assert "cosine-restarts-lr0.125 " in shown.text
    assert "diverged" in shown.text
    assert "1 of 2" in shown.text
    assert "…" not in shown.text
    assert max(map(len, shown.lines)) <= 120


def test_several_questions_have_a_table_each() -> None:
    shown = screen(120)
    groups, asked = sweep(optimizer=["adam", "sgd"])
    terminal.print_ranking(shown.console, "digits-mlp", groups, "test_accuracy", asked)
    terminal.print_answers(shown.console, groups, asked, "test_accuracy")
    titles = (
        "over 2 seeds",
        "against constant, with adam",
        "against constant, with sgd",
        "Each optimizer against adam",
    )
    positions = [shown.text.index(title) for title in titles]
    assert positions == sorted(positions)
    assert "step with sgd" in shown.text
    assert shown.text.count("-S 'lr=[0.05,0.15,0.45]'") == 1


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_curve_is_drawn_with_characters(width: int) -> None:
    shown = screen(width)
    terminal.print_curve(shown.console, "cosine", [1.0, 0.75, 0.25, 0.0], 4)
    assert shown.lines[0] == "cosine"
    assert any("⡀" <= character <= "⣿" for character in shown.text)
    assert max(map(len, shown.lines)) <= width
    assert "starts at 1, lowest 0 after 3 epochs" in " ".join(shown.text.split())


def test_the_cache_is_a_table_of_tasks() -> None:
    shown = screen()
    entries = [Entry(Path(str(number)), "digits-mlp", 500_000, 86_400.0 * 365 * (number + 1)) for number in range(2)]
    terminal.print_cache(shown.console, entries)
    row = next(line for line in shown.lines if "digits-mlp" in line).split()
    assert row[:3] == ["digits-mlp", "2", "1.0"]
    assert [row[3][:4], row[5][:4]] in (["1971", "1972"], ["1970", "1971"])  # by the time zone
    empty = screen()
    terminal.print_cache(empty.console, [])
    assert empty.text == "the run cache is empty\n"


def test_schedulers_are_a_table() -> None:
    shown = screen()
    rows = [("cosine", "CosineAnnealingLR", "lr * [1 + cos(pi t / T)] / 2", "https://arxiv.org/abs/1608.03983")]
    terminal.print_schedulers(shown.console, rows)
    for cell in rows[0]:
        assert cell in shown.text
