"""Print a sweep's answer in the terminal: the recommendation, a table of the arms, and the next command."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.comparison.answer import Findings
from pipeline.datasets import Language, Target
from pipeline.report import advice, wording
from pipeline.report.arms import Arm, arms
from pipeline.report.phrases import UNKNOWN, difference, interval, mean_and_deviation, size
from pipeline.report.units import cells

DROPPED = ("bits per character", "final LR", "SD", "interval", "seeds", "difference", "base LR", "behind")
"""Columns to drop, one by one in this order, until the table fits the terminal."""
TEXTS = ("scheduler", "use it?", "verdict")
"""Text columns, which are left-aligned. All other columns hold numbers and are right-aligned."""


def print_answer(console: Console, findings: Findings, report: Path) -> None:
    """Print a sweep's answer, the cautions and evidence, a table, the next command, and the path of the report."""
    _print(console, wording.headline(findings), style="bold")
    for number, caution in enumerate(advice.cautions(findings)):
        _print(console, f"{'Also' if number else 'First, though'}: {caution}", style="yellow")
    for sentence in wording.basis(findings):
        _print(console, f"- {sentence}", end="")
    console.print()
    _print_arms(console, findings)
    if step := advice.next_step(findings):
        _print(console, step)
    _print(console, f"Pictures and all comparisons: {report}")


def _print(console: Console, text: str, style: str = "", end: str = "\n") -> None:
    # Do not wrap a command, because the user must be able to copy it.
    console.print(text, style=style, markup=False, highlight=False, soft_wrap="`" in text)
    console.print(end=end)


def _print_arms(console: Console, findings: Findings) -> None:
    """Print the table of the arms, and explain its terms below it."""
    rows, answer = arms(findings), findings.answer
    title = f"{answer.arms[0].run.task}, test set"
    if answer.is_provisional:
        title += "; provisional: more seeds may change any word of this table"
    columns = _columns(rows, findings.units)
    unlimited = console.options.update(max_width=10_000)
    for dropped in DROPPED:
        if console.measure(_table(title, columns), options=unlimited).maximum <= console.width:
            break
        columns.pop(dropped, None)
    console.print(_table(title, columns))
    for line in _key(findings, rows, columns):
        console.print(line, markup=False, highlight=False)
    console.print()


def _columns(rows: Sequence[Arm], units: Target | Language | None) -> dict[str, list[str]]:
    """Return the cells of each column, keyed by the column's title."""
    metric, is_alone = rows[0].metric, len(rows) == 1
    figure = metric.title.removeprefix("test ") + (", %" if metric.is_share else "")
    columns = {"scheduler": [arm.name for arm in rows]}
    if not is_alone:
        columns["use it?"] = [arm.place for arm in rows]
    columns[figure] = [mean_and_deviation(arm.group, metric)[0] for arm in rows]
    columns["SD"] = [mean_and_deviation(arm.group, metric)[1] for arm in rows]
    readable = [cells(arm.group, units) for arm in rows]
    columns |= {title: [row[title] for row in readable] for title in readable[0]}
    if not is_alone:
        columns["behind"] = [arm.behind for arm in rows]
    if any(arm.comparison for arm in rows):
        columns["verdict"] = ["baseline" if arm.is_baseline else arm.verdict for arm in rows]
        columns["difference"] = [difference(arm.comparison) for arm in rows]
        columns["interval"] = [interval(arm.comparison) for arm in rows]
    columns["seeds"] = [str(len(arm.group.records)) for arm in rows]
    columns["base LR"] = [f"{arm.group.run.lr:g}" for arm in rows]
    columns["final LR"] = [f"{arm.group.final_lr:.2g}" for arm in rows]
    for outcome in ("diverged", "dead"):
        counts = [arm.group.count(outcome) for arm in rows]
        if any(counts):
            columns[outcome] = [str(count or "") for count in counts]
    return columns


def _table(title: str, columns: Mapping[str, Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for heading in columns:
        table.add_column(heading, justify="left" if heading in TEXTS else "right", no_wrap=True)
    for row in zip(*columns.values(), strict=True):
        table.add_row(*row)
    return table


def _key(findings: Findings, rows: Sequence[Arm], titles: Iterable[str]) -> list[str]:
    """Return a one-line explanation of each term in the table."""
    metric, margin = rows[0].metric, size(findings.answer.scale.margin, rows[0].metric)
    unit = "points of " if metric.is_share else ""
    lines = {
        "use it?": f"good enough: nothing is more than {margin} better; may be best: may be further behind "
        "than that; not needed: something here is better",
        "SD": "SD: standard deviation over the seeds",
        "behind": "behind: how far it can be behind the best, at most"
        + (f" ({UNKNOWN}: too few seeds to say)" if any(arm.behind == UNKNOWN for arm in rows) else ""),
        "verdict": f"verdict: against {findings.baseline}; equivalent: within {margin}; open: not known",
        "difference": f"difference: {unit}{metric.title} against {findings.baseline}, over their common seeds",
        "interval": "interval: of the difference; all intervals hold together with 95% confidence",
    }
    return [line for title, line in lines.items() if title in titles]
