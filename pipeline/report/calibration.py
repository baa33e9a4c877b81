"""What `calibrate` prints: how often the verdict is wrong, and how small a difference it finds."""

from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.comparison.calibration import DetectableDifference, Errors, Rate
from pipeline.errors import plural
from pipeline.report.phrases import words
from pipeline.runs.params import Metric

LEGEND = """\
normal, all alike: made-up figures; copied: real runs of one scheduler under all names, the worst and the median of
all schedulers; one mean: all real runs, moved so that all schedulers are equally good
false verdict: a scheduler is called better or worse than the baseline, and is not
best ruled out: the best is called not needed; of several as good, the one that this befell most
bound too low: a scheduler that may be the best is further behind it than the bound says
None of the three may happen in more than 5% of sweeps. In brackets: the exact 95% interval of the rate.
"""


def print_errors(console: Console, tables: Mapping[str, Sequence[Errors]], title: str) -> None:
    """Print tables of error rates, by their titles: a row for each kind of sweep."""
    console.print(title, markup=False, highlight=False)
    for heading, rows in tables.items():
        table = Table("figures", title=heading, title_justify="left", box=box.SIMPLE_HEAD)
        for column in ("false verdict", "best ruled out", "bound too low", "runs", "answered"):
            table.add_column(column, justify="right", no_wrap=True)
        for row in rows:
            shares = [_rate(each) for each in (row.verdict, row.best_out, row.bound)]
            table.add_row(row.title, *shares, f"{row.runs:.0f}", f"{row.answered.share:.0%}")
        console.print(table)
    console.print(LEGEND, markup=False, highlight=False)


def _rate(found: Rate) -> str:
    low, high = found.interval
    return f"{found.share:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def print_power(
    console: Console, tables: Sequence[Sequence[DetectableDifference]], metric: Metric, deviation: float | None
) -> None:
    """Print the difference that each number of seeds detects, two columns for each number of comparisons."""
    table = Table(title="smallest difference detected four times out of five", box=box.SIMPLE_HEAD)
    table.title_justify = table.caption_justify = "left"
    table.caption = "SD: standard deviation of the difference between two runs"
    if deviation is not None:
        table.caption += f" that share a seed, here {deviation:.4f}"
    unit = words(metric) if metric == "test_accuracy" else f"log of {words(metric)}"
    table.add_column("seeds", justify="right")
    for first, *_ in tables:
        table.add_column(f"{plural(first.comparisons, 'comparison')}: SD", justify="right")
        table.add_column(unit, justify="right")
    for row in zip(*tables, strict=True):
        cells = [str(row[0].seeds)]
        for each in row:
            cells += [f"{each.deviations:.2f}", "" if each.difference is None else f"{each.difference:.4f}"]
        table.add_row(*cells)
    console.print(table)
