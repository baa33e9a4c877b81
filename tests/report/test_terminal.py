import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.comparison.calibration import FalsePositiveRate, power_table
from pipeline.report import terminal
from pipeline.sweep.cache import Entry


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


def test_false_positive_rates_are_a_table() -> None:
    shown = screen()
    terminal.print_false_positives(shown.console, {"simulated": FalsePositiveRate(40, 1000)}, "A/A tests")
    assert shown.lines[0].strip() == "A/A tests"
    assert next(line for line in shown.lines if "simulated" in line).split() == [
        *("simulated", "1000", "40", "4.0%"),
        *("2.9%", "to", "5.4%"),
    ]


def test_the_power_table_has_two_columns_for_each_number_of_comparisons() -> None:
    shown = screen()
    tables = [power_table([5, 10], count, 0.02) for count in (1, 21)]
    terminal.print_power(shown.console, tables, "test_accuracy", 0.02)
    assert "1 comparison: SD" in shown.text
    assert "21 comparisons: SD" in shown.text
    assert "here 0.0200: √2 times that of one run" in " ".join(shown.text.split())
    expected = [each for table in tables for each in (f"{table[0].deviations:.2f}", f"{table[0].difference:.4f}")]
    assert next(line for line in shown.lines if line.strip().startswith("5 ")).split() == ["5", *expected]


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
