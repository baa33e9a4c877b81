"""Range tests are shown as a plot and as a table, with the commands to run next."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.comparison.stability import RangeTest, read
from pipeline.report.range_plot import draw
from pipeline.report.style import save
from pipeline.report.terminal import print_readings
from tests.comparison.range_tests import RATES, falls
from tests.helpers.assertions import assert_drawn

DEAD = [2.0] * (1 + len(RATES))
RISES = RangeTest("sgd", RATES, [falls(0.05, rises=0.5), falls(0.06, rises=0.6), DEAD])
FALLS = RangeTest("adam", RATES, [falls(0.001)])
LOST = RangeTest("rmsprop", RATES, [DEAD, [float("nan")] * len(DEAD)])
NEGATIVE = RangeTest("adamw", RATES, [[loss - 5 for loss in falls(0.05, rises=0.5)]])


@pytest.mark.parametrize("tests", [[RISES], [FALLS], [LOST], [NEGATIVE], [RISES, FALLS, LOST]])
def test_a_plot_is_drawn(tests: list[RangeTest], tmp_path: Path) -> None:
    readings = {test.optimizer: found for test in tests if (found := read(test)) is not None}
    save(draw(tests, readings, "digits-mlp"), tmp_path / "found.png")
    assert_drawn(tmp_path / "found.png")


def test_a_table_and_commands_are_printed() -> None:
    tests = [RISES, FALLS, LOST]
    readings = {test.optimizer: found for test in tests if (found := read(test)) is not None}
    screen = io.StringIO()
    print_readings(Console(file=screen, width=100), tests, readings, {"sgd": "", "adam": "-S optimizer=adam "})
    out = screen.getvalue()
    assert "above 10" in out
    assert "rmsprop: the loss falls at no rate from 1e-06 to 10" in out
    assert "\n  uv run dvc exp run -S 'lr=[" in out
    assert "\n  uv run dvc exp run -S optimizer=adam -S 'lr=[" in out
