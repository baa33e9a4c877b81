import io

import pytest
from rich.console import Console

from pipeline.comparison.calibration import Errors, Rate, power_table
from pipeline.report.calibration import print_errors, print_power

ROW = Errors("normal, all alike", Rate(40, 1000), Rate(12, 1000), Rate(0, 1000), 433.4, Rate(925, 1000))


def screen(width: int = 120) -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=width), stream


def test_errors_are_a_table_with_exact_intervals() -> None:
    console, stream = screen()
    print_errors(console, {"race": [ROW], "5 seeds of each": [ROW]}, "digits-mlp: errors")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "digits-mlp: errors"
    row = next(line for line in lines if "normal, all alike" in line)
    assert row.split()[3:] == ["4.0%", "(2.9-5.4)", "1.2%", "(0.6-2.1)", "0.0%", "(0.0-0.4)", "433", "92%"]
    assert stream.getvalue().count("false verdict:") == 1
    assert stream.getvalue().count("5 seeds of each") == 1


@pytest.mark.parametrize("width", [80, 200])
def test_numbers_are_whole_on_any_screen(width: int) -> None:
    console, stream = screen(width)
    print_errors(console, {"race": [ROW]}, "digits-mlp")
    assert "4.0% (2.9-5.4)" in stream.getvalue()
    assert max(map(len, stream.getvalue().splitlines())) <= max(width, 112)


def test_the_power_table_has_two_columns_for_each_number_of_comparisons() -> None:
    console, stream = screen()
    tables = [power_table([5, 10], count, 0.02) for count in (1, 21)]
    print_power(console, tables, "test_accuracy", 0.02)
    text = stream.getvalue()
    assert "1 comparison: SD" in text
    assert "21 comparisons: SD" in text
    assert "that share a seed, here 0.0200" in " ".join(text.split())
    expected = [each for table in tables for each in (f"{table[0].deviations:.2f}", f"{table[0].difference:.4f}")]
    assert next(line for line in text.splitlines() if line.strip().startswith("5 ")).split() == ["5", *expected]


def test_of_losses_the_power_table_has_logarithms() -> None:
    console, stream = screen()
    print_power(console, [power_table([5], 1)], "test_loss", None)
    assert "log of test loss" in stream.getvalue()
