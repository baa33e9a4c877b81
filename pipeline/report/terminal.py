"""Tables and curves for the terminal, except a sweep's answer, which `answer_table` prints."""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import plural
from pipeline.schedules import top

if TYPE_CHECKING:
    from pipeline.comparison.calibration import Errors, Rate
    from pipeline.comparison.stability import RangeTest, Reading
    from pipeline.runs.metric import Metric
    from pipeline.sweep.cache import Entry

POWER_SEEDS = (3, 5, 10, 20, 50)
"""The numbers of seeds that get a row in the table of `print_power`."""
LEGEND = """\
normal, all alike: simulated figures of equally good schedulers
copied: real runs of one scheduler under all names; the rows show the worst and the median scheduler
one mean: real runs of all schedulers, shifted so that all are equally good
as they are: real runs of all schedulers, unchanged
false verdict: a scheduler is called better or worse than the baseline, but is not
best ruled out: the best scheduler is called not needed; if several are equally good, only the most affected counts
bound too low: a scheduler that may be the best is further behind the best than its bound
Each of these three errors may happen in at most 5% of sweeps. In brackets: the exact 95% interval of the rate.
"""


def print_curve(console: Console, title: str, rates: Sequence[float], epochs: int) -> None:
    """Draw the learning rate of every batch as a text plot that fits the terminal."""
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
    """Print a table of the run cache: the number and size of each task's runs, and when they were last used."""
    table = _table(["task"], ["runs", "MB", "last used from", "to"])
    for kind in sorted({entry.kind for entry in entries}):
        of_kind = [entry for entry in entries if entry.kind == kind]
        used = [entry.used for entry in of_kind]
        days = [datetime.fromtimestamp(when).strftime("%Y-%m-%d %H:%M") for when in (min(used), max(used))]
        table.add_row(kind, str(len(of_kind)), f"{sum(entry.size for entry in of_kind) / 1e6:.1f}", *days)
    console.print(table if entries else "the run cache is empty")


def print_schedulers(console: Console, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """Print a table of schedulers; each row holds the name, class, formula and source of a scheduler."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("scheduler", no_wrap=True)
    table.add_column("learning rate at step t of T, base LR lr", ratio=1)
    table.add_column("source", ratio=1, overflow="fold")
    for scheduler, class_, formula, source in rows:
        table.add_row(f"{scheduler}\n[dim]{class_}[/dim]", Text(formula), Text(source))
    console.print(table)


def print_readings(
    console: Console, tests: "Sequence[RangeTest]", readings: "Mapping[str, Reading]", changes: Mapping[str, str]
) -> None:
    """Print the results of range tests, and commands that try the suggested rates.

    ``readings`` maps each optimizer to the result of its test, and ``changes`` maps each optimizer to the other `-S`
    options that its command needs.
    """
    from pipeline.comparison.stability import HIGHEST
    from pipeline.report.advice import COMMAND

    table = _table(["optimizer"], ["steepest", "last stable", "suggestion"])
    for name, reading in readings.items():
        last = f"{reading.last_stable:.2g}" if math.isfinite(reading.last_stable) else f"above {HIGHEST:g}"
        table.add_row(name, f"{reading.steepest:.2g}", last, f"{reading.suggestion:.2g}")
    if readings:
        console.print(table)
    for test in tests:
        if test.optimizer not in readings:
            line = f"{test.optimizer}: the loss falls at no rate from {test.rates[0]:g} to {test.rates[-1]:g}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if readings:
        console.print("A grid around the suggestion:", highlight=False)
    for name, reading in readings.items():
        grid = ",".join(f"{rate:g}" for rate in reading.grid)
        line = f"  {COMMAND} {changes[name]}-S 'lr=[{grid}]'"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def print_errors(console: Console, tables: "Mapping[str, Sequence[Errors]]", title: str) -> None:
    """Print a table of error rates under each heading, with a row for each kind of sweep."""
    console.print(title, markup=False, highlight=False)
    for heading, rows in tables.items():
        table = _table(["figures"], ["false verdict", "best ruled out", "bound too low", "runs", "answered"])
        table.title, table.title_justify = heading, "left"
        for row in rows:
            shares = [_rate(rate) for rate in (row.verdict, row.best_out, row.bound)]
            table.add_row(row.title, *shares, f"{row.runs:.0f}", f"{row.answered.share:.0%}")
        console.print(table)
    console.print(LEGEND, markup=False, highlight=False)


def _rate(rate: "Rate") -> str:
    low, high = rate.interval
    return f"{rate.share:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def print_power(console: Console, comparisons: Sequence[int], metric: "Metric", deviation: float | None) -> None:
    """Print the smallest difference that can be detected with each number of seeds in `POWER_SEEDS`.

    Args:
        console: the console to print to.
        comparisons: numbers of comparisons to correct for; each number gets two columns.
        metric: the figure that is compared.
        deviation: standard deviation of the difference between two runs that share a seed; None if it is not known.
    """
    from pipeline.comparison.statistics import detectable

    table = Table(title="smallest difference detected four times out of five", box=box.SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    table.caption = "SD: standard deviation of the difference between two runs"
    if deviation is not None:
        table.caption += f" that share a seed, here {deviation:.4f}"
    table.add_column("seeds", justify="right")
    for count in comparisons:
        table.add_column(f"{plural(count, 'comparison')}: SD", justify="right")
        table.add_column(metric.title if metric.is_share else f"log of {metric.title}", justify="right")
    for seeds in POWER_SEEDS:
        smallest = [detectable(seeds, count) for count in comparisons]
        known = ["" if deviation is None else f"{each * deviation:.4f}" for each in smallest]
        cells = [cell for each, units in zip(smallest, known, strict=True) for cell in (f"{each:.2f}", units)]
        table.add_row(str(seeds), *cells)
    console.print(table)


def _table(texts: Sequence[str], numbers: Sequence[str]) -> Table:
    """Return an empty table with text columns, followed by number columns that never wrap."""
    table = Table(*texts, box=box.SIMPLE_HEAD)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table
