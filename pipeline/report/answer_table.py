"""The answer of a sweep on the terminal: what to use, a table of the arms, and how to go on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.comparison.answer import Findings
from pipeline.datasets import Language, Target
from pipeline.report import wording
from pipeline.report.arms import Arm, arms
from pipeline.report.phrases import UNKNOWN, difference, interval, mean_and_deviation, size
from pipeline.report.units import cells

DROPPED = ("bits per character", "final LR", "SD", "interval", "seeds", "difference", "base LR", "behind")
"""Columns to drop, one by one in this order, until the table fits the terminal."""


@dataclass(frozen=True)
class Column:
    """A column of the table."""

    title: str
    cells: list[str]
    """One for each row."""
    is_text: bool = False
    """True for words, which are aligned left; numbers are aligned right."""


def print_answer(console: Console, findings: Findings, report: Path) -> None:
    """Print the result of a sweep: the answer, what may overturn it, its evidence, and how to go on.

    Args:
        console: where to print.
        findings: of the sweep.
        report: the file with the whole report.
    """
    _print(console, wording.headline(findings), style="bold")
    for number, caution in enumerate(wording.cautions(findings)):
        _print(console, f"{'Also' if number else 'First, though'}: {caution}", style="yellow")
    for sentence in wording.basis(findings):
        _print(console, f"- {sentence}", end="")
    console.print()
    _print_arms(console, findings)
    if step := wording.next_step(findings):
        _print(console, step)
    _print(console, f"Pictures, and every comparison: {report}")


def _print(console: Console, text: str, style: str = "", end: str = "\n") -> None:
    # A command is not wrapped, so that it can be copied.
    console.print(text, style=style, markup=False, highlight=False, soft_wrap="`" in text)
    console.print(end=end)


def _print_arms(console: Console, findings: Findings) -> None:
    """Print the table of the arms, and the meaning of its words."""
    rows, answer = arms(findings), findings.answer
    title = f"{answer.arms[0].run.task}, test set"
    if answer.is_provisional:
        title += "; provisional: more seeds may change any word of this table"
    columns = _columns(rows, findings.units)
    unlimited = console.options.update(max_width=10_000)
    for dropped in DROPPED:
        if console.measure(_table(title, columns), options=unlimited).maximum <= console.width:
            break
        columns = [column for column in columns if column.title != dropped]
    console.print(_table(title, columns))
    for line in _key(findings, rows, {column.title for column in columns}):
        console.print(line, markup=False, highlight=False)
    console.print()


def _columns(rows: Sequence[Arm], units: Target | Language | None) -> list[Column]:
    metric, is_alone = rows[0].metric, len(rows) == 1
    figure = metric.title.removeprefix("test ") + (", %" if metric.is_share else "")
    means, deviations = zip(*(mean_and_deviation(arm.group, metric) for arm in rows), strict=True)
    readable = [cells(arm.group, units) for arm in rows]
    columns = [Column("scheduler", [arm.name for arm in rows], is_text=True)]
    if not is_alone:
        columns.append(Column("use it?", [arm.place for arm in rows], is_text=True))
    columns += [Column(figure, [*means]), Column("SD", [*deviations])]
    columns += [Column(title, [row[title] for row in readable]) for title in readable[0]]
    if not is_alone:
        columns.append(Column("behind", [arm.behind for arm in rows]))
    if any(arm.comparison for arm in rows):
        verdicts = ["baseline" if arm.is_baseline else arm.verdict for arm in rows]
        columns.append(Column("verdict", verdicts, is_text=True))
        columns.append(Column("difference", [difference(arm.comparison) for arm in rows]))
        columns.append(Column("interval", [interval(arm.comparison) for arm in rows]))
    columns.append(Column("seeds", [str(len(arm.group.records)) for arm in rows]))
    columns.append(Column("base LR", [f"{arm.group.run.lr:g}" for arm in rows]))
    columns.append(Column("final LR", [f"{arm.group.final_lr:.2g}" for arm in rows]))
    for outcome in ("diverged", "dead"):
        counts = [arm.group.count(outcome) for arm in rows]
        if any(counts):
            columns.append(Column(outcome, [str(count or "") for count in counts]))
    return columns


def _table(title: str, columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1))
    for column in columns:
        table.add_column(column.title, justify="left" if column.is_text else "right", no_wrap=True)
    for row in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*row)
    return table


def _key(findings: Findings, rows: Sequence[Arm], titles: set[str]) -> list[str]:
    """Return the meaning of the words in the table, a line each."""
    metric, margin = rows[0].metric, size(findings.answer.scale.margin, rows[0].metric)
    unit = "points of " if metric.is_share else ""
    lines = {
        "use it?": f"good enough: none is more than {margin} better; may be best: or further behind than that; "
        "not needed: something here is better",
        "SD": "SD: standard deviation over the seeds",
        "behind": "behind: how far behind the best it can be, at most"
        + (f" ({UNKNOWN}: too few seeds to say)" if any(arm.behind == UNKNOWN for arm in rows) else ""),
        "verdict": f"verdict: against {findings.baseline}; equivalent: within {margin}; open: not known",
        "difference": f"difference: {unit}{metric.title} against {findings.baseline}, over the seeds that both have",
        "interval": "interval: of the difference; all of them hold together, 95% sure",
    }
    return [line for title, line in lines.items() if title in titles]
