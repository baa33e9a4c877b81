import io
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

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
