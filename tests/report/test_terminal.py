import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.comparison.calibration import Errors, Rate
from pipeline.comparison.statistics import detectable
from pipeline.report import terminal
from pipeline.runs.metric import TEST_ACCURACY, TEST_LOSS
from pipeline.sweep.cache import Entry


@dataclass
class Screen:
    """A console of a fixed width, and what it has printed."""

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
    assert [row[3][:4], row[5][:4]] in (["1971", "1972"], ["1970", "1971"])  # the year depends on the time zone
    empty = screen()
    terminal.print_cache(empty.console, [])
    assert empty.text == "the run cache is empty\n"


def test_schedulers_are_a_table() -> None:
    shown = screen()
    rows = [("cosine", "CosineAnnealingLR", "lr * [1 + cos(pi t / T)] / 2", "https://arxiv.org/abs/1608.03983")]
    terminal.print_schedulers(shown.console, rows)
    for cell in rows[0]:
        assert cell in shown.text


ROW = Errors("normal, all alike", Rate(40, 1000), Rate(12, 1000), Rate(0, 1000), 433.4, Rate(925, 1000))


def test_errors_are_a_table_with_exact_intervals() -> None:
    shown = screen(120)
    terminal.print_errors(shown.console, {"race": [ROW], "5 seeds of each": [ROW]}, "digits-mlp: errors")
    assert shown.lines[0] == "digits-mlp: errors"
    row = next(line for line in shown.lines if "normal, all alike" in line)
    assert row.split()[3:] == ["4.0%", "(2.9-5.4)", "1.2%", "(0.6-2.1)", "0.0%", "(0.0-0.4)", "433", "92%"]
    assert shown.text.count("false verdict:") == 1
    assert shown.text.count("5 seeds of each") == 1


@pytest.mark.parametrize("width", [80, 200])
def test_intervals_are_not_cut_at_any_width(width: int) -> None:
    shown = screen(width)
    terminal.print_errors(shown.console, {"race": [ROW]}, "digits-mlp")
    assert "4.0% (2.9-5.4)" in shown.text
    assert max(map(len, shown.lines)) <= max(width, 112)


def test_the_power_table_has_two_columns_for_each_number_of_comparisons() -> None:
    shown = screen(120)
    terminal.print_power(shown.console, [1, 21], TEST_ACCURACY, 0.02)
    assert "1 comparison: SD" in shown.text
    assert "21 comparisons: SD" in shown.text
    assert "that share a seed, here 0.0200" in " ".join(shown.text.split())
    smallest = [detectable(5, count) for count in (1, 21)]
    expected = [cell for each in smallest for cell in (f"{each:.2f}", f"{0.02 * each:.4f}")]
    assert next(line for line in shown.lines if line.strip().startswith("5 ")).split() == ["5", *expected]


def test_the_power_table_of_losses_has_logarithms_and_without_a_deviation_no_units() -> None:
    shown = screen(120)
    terminal.print_power(shown.console, [1], TEST_LOSS, None)
    assert "log of test loss" in shown.text
    assert next(line for line in shown.lines if line.strip().startswith("5 ")).split() == ["5", f"{detectable(5):.2f}"]
