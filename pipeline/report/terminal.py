"""Terminal output of the commands: tables, and curves drawn with characters; `answer` prints what a sweep found."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.schedules import top

if TYPE_CHECKING:
    from pipeline.sweep.cache import Entry


def print_curve(console: Console, title: str, rates: Sequence[float], epochs: int) -> None:
    """Draw a learning-rate curve with characters, as wide as the terminal.

    Args:
        console: to print on.
        title: printed above.
        rates: the learning rate of every batch.
        epochs: that the batches make.
    """
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height = max(16, min(console.width, 100) - 24), 12
    figure.set_x_limits(0, epochs)
    figure.set_y_limits(0, 1.05 * top(rates))
    figure.x_label, figure.y_label = "epoch", "LR"
    figure.color_mode = "byte"
    figure.register_label_formatter(float, _axis_label)
    figure.plot([epochs * batch / len(rates) for batch in range(len(rates))], list(rates))
    console.print(f"{title}\n{figure.show()}", markup=False, highlight=False, soft_wrap=True)
    lowest = min(range(len(rates)), key=rates.__getitem__)
    after = f"{epochs * lowest / len(rates):.4g}"
    console.print(
        f"  starts at {rates[0]:.4g}, lowest {rates[lowest]:.4g} after {after} epochs, ends at {rates[-1]:.4g}"
    )


def _axis_label(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value:.3g}"
    return text.ljust(chars) if left else text.rjust(chars)


def print_cache(console: Console, entries: "Sequence[Entry]") -> None:
    """Print a table of the run cache: for each task the number of runs, their size, and when they were last used."""
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("task", "runs", "MB", "last used from", "to"):
        table.add_column(title, justify="left" if title == "task" else "right")
    for kind in sorted({entry.kind for entry in entries}):
        those = [entry for entry in entries if entry.kind == kind]
        used = [entry.used for entry in those]
        days = [datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") for when in (min(used), max(used))]
        table.add_row(kind, str(len(those)), f"{sum(entry.size for entry in those) / 1e6:.1f}", *days)
    console.print(table if entries else "the run cache is empty")


def print_schedulers(console: Console, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a table of schedulers: name, class, formula and source of each row."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("scheduler", no_wrap=True)
    table.add_column("learning rate at step t of T, base LR lr", ratio=1)
    table.add_column("source", ratio=1, overflow="fold")
    for scheduler, class_, formula, source in rows:
        table.add_row(f"{scheduler}\n[dim]{class_}[/dim]", Text(formula), Text(source))
    console.print(table)
