"""Pictures and words: what `evaluate` and `schedules` show."""

import csv
import io
import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import matplotlib
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.comparison import Group, spread
from pipeline.files import replacing, write_text
from pipeline.records import COLUMNS, Record

matplotlib.use("agg")  # no screen needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE = "#0072B2", "#D55E00"
"""From Okabe & Ito's palette, which colour-blind readers tell apart."""


def write_metrics(path: Path, groups: Sequence[Group]) -> None:
    """Write what `dvc metrics show` and `dvc exp show` read: figures of each group over its seeds."""
    metrics = {
        group.name: {
            "test_accuracy": statistics.fmean(group.accuracies),
            "test_accuracy_std": _number(spread(group.accuracies)),
            "test_loss": _number(statistics.fmean(group.losses)),
            "diverged": group.diverged,
        }
        for group in groups
    }
    write_text(path, json.dumps(metrics, indent=2) + "\n")


def _number(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None  # JSON has no NaN


def write_curves(path: Path, records: Sequence[Record]) -> None:
    """Write every epoch of every run, in the order of the sweep."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scheduler", "optimizer", "base_lr", "seed", *COLUMNS])
    for record in records:
        run = record.run
        settings = (run.scheduler, run.optimizer, run.lr, run.seed)
        writer.writerows((*settings, *astuple(epoch)) for epoch in record.epochs)
    write_text(path, text.getvalue())


def print_ranking(console: Console, task: str, groups: Sequence[Group]) -> None:
    """A table of the groups, as they come: best first."""
    seeds = max(len(group.records) for group in groups)
    of_seeds = f"mean ± standard deviation over {seeds} seeds" if seeds > 1 else "one seed"
    table = Table(box=box.SIMPLE_HEAD, title=f"{task}, test set: {of_seeds}", title_justify="left")
    table.add_column("", justify="right")
    table.add_column("scheduler", no_wrap=True)
    for column in ("test accuracy", "test loss", "final LR"):
        table.add_column(column, justify="right", no_wrap=True)
    some_diverged = any(group.diverged for group in groups)
    if some_diverged:
        table.add_column("diverged", justify="right", no_wrap=True)
    for rank, group in enumerate(groups, start=1):
        final_lr = statistics.fmean(record.last.lr for record in group.records)
        row = [str(rank), group.name, _mean(group.accuracies), _mean(group.losses), f"{final_lr:.2g}"]
        table.add_row(*row, *[f"{group.diverged} of {len(group.records)}"] * some_diverged)
    console.print(table)


def _mean(figures: Sequence[float]) -> str:
    deviation = spread(figures)
    return f"{statistics.fmean(figures):.4f}" + (f" ± {deviation:.4f}" if math.isfinite(deviation) else "")


def draw_ranking(path: Path, groups: Sequence[Group], baseline: str) -> None:
    """Draw each group as a row, best first: its LR curve, and the test accuracy of each seed and their mean."""
    figure = plt.figure(figsize=(9, 0.34 * len(groups) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(groups), 2, width_ratios=[1, 4], hspace=0)
    dots = figure.add_subplot(grid[:, 1])
    top = max(epoch.lr for group in groups for epoch in group.records[0].epochs)
    for row, group in enumerate(groups):
        rates = [epoch.lr for epoch in group.records[0].epochs]
        accuracies = [100 * accuracy for accuracy in group.accuracies]
        is_baseline = group.records[0].run.scheduler == baseline
        colour = ORANGE if is_baseline else BLUE
        curve = figure.add_subplot(grid[row, 0])
        curve.stairs(rates, range(len(rates) + 1), baseline=None, color=colour, linewidth=1.4)
        curve.set(xlim=(0, len(rates)), ylim=(-0.12 * top, 1.18 * top))
        curve.axis("off")
        dots.plot(accuracies, [row] * len(accuracies), "o", color=colour, alpha=0.3, markersize=5, markeredgewidth=0)
        dots.plot(statistics.fmean(accuracies), row, "|", color=colour, markersize=15, markeredgewidth=2.6)
        if is_baseline:
            dots.axvline(statistics.fmean(accuracies), color=ORANGE, linewidth=0.8, linestyle=":", zorder=0)
    dots.set_yticks(range(len(groups)), [group.name for group in groups])
    dots.set_ylim(len(groups) - 0.5, -0.5)
    dots.set_xlabel("test accuracy in % (a dot is a seed, a bar their mean)")
    dots.grid(axis="y", color="#EEEEEE")
    dots.set_axisbelow(True)
    dots.spines[["top", "right", "left"]].set_visible(False)
    dots.tick_params(axis="y", length=0)
    run = groups[0].records[0].run
    title = f"{run.task}, {run.epochs} epochs: the learning rate over the run, and what it leads to"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    _save(figure, path)


def draw_curves(path: Path, curves: Mapping[str, Sequence[float]], epochs: int, title: str) -> None:
    """Draw LR curves as small multiples.

    Args:
        path: the PNG.
        curves: the rate of every batch of the run, by name.
        epochs: how many epochs the batches make.
        title: above all.
    """
    columns = min(4, math.ceil(math.sqrt(len(curves))))
    rows = math.ceil(len(curves) / columns)
    size = (max(6.0, 2.7 * columns), 1.9 * rows + 0.9 if len(curves) > 1 else 4)
    figure, panels = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    axes: list[Axes] = list(panels.flat)
    top = max(max(rates) for rates in curves.values())
    for panel, (name, rates) in zip(axes, curves.items(), strict=False):
        edges = [epochs * batch / len(rates) for batch in range(len(rates) + 1)]
        panel.stairs(rates, edges, baseline=None, color=BLUE, linewidth=1.6)
        panel.set_title(name, fontsize=10, loc="left")
        panel.set(xlim=(0, epochs), ylim=(0, 1.08 * top))
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#EEEEEE")
    for number, panel in enumerate(axes):
        panel.set_visible(number < len(curves))
        panel.tick_params(labelbottom=number + columns >= len(curves))  # those with nothing below
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel("learning rate", fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)


def print_curve(console: Console, name: str, rates: Sequence[float], epochs: int) -> None:
    """Draw one LR curve with characters, as wide as the terminal."""
    import plotille

    figure = plotille.Figure()
    figure.width, figure.height = max(16, min(console.width, 100) - 24), 12
    figure.set_x_limits(0, epochs)
    figure.set_y_limits(0, 1.05 * max(rates) or 1.0)
    figure.x_label, figure.y_label = "epoch", "LR"
    figure.color_mode = "byte"
    figure.register_label_formatter(float, _axis_label)
    figure.plot([epochs * batch / len(rates) for batch in range(len(rates))], list(rates))
    console.print(f"{name}\n{figure.show()}", markup=False, highlight=False, soft_wrap=True)


def _axis_label(value: float, chars: int, delta: float, left: bool = False) -> str:
    text = f"{value:.3g}"
    return text.ljust(chars) if left else text.rjust(chars)


def print_schedulers(console: Console, rows: Sequence[tuple[str, str, str, str]]) -> None:
    """A table of schedulers: name, class, formula and source of each."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 1, 0))
    table.add_column("scheduler", no_wrap=True)
    table.add_column("learning rate at step t of T, base rate lr", ratio=1)
    table.add_column("source", ratio=1, overflow="fold")
    for name, class_, formula, source in rows:
        table.add_row(f"{name}\n[dim]{class_}[/dim]", Text(formula), Text(source))
    console.print(table)
