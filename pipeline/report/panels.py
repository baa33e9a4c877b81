"""Draw pictures that have a small panel for each scheduler."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from pipeline.comparison.groups import Group, final_val_loss
from pipeline.comparison.statistics import half_width
from pipeline.report.style import GREEN, GREY, LINE, ORANGE
from pipeline.schedules import top

MOST_TICKS = 4
"""Maximum number of base LRs to label on an axis. With more base LRs, powers of ten are labelled instead."""
ROUNDING = 1e-9
"""Largest relative difference between two figures that still count as equal."""


def rates(curves: Mapping[str, Sequence[float]], epochs: int, title: str) -> Figure:
    """Draw a panel for each curve; ``curves`` maps each curve's name to the learning rate of every batch."""
    figure, panels = _multiples(list(curves), title, "learning rate")
    highest = top([rate for curve in curves.values() for rate in curve])
    for panel, curve in zip(panels, curves.values(), strict=True):
        edges = [epochs * batch / len(curve) for batch in range(len(curve) + 1)]
        panel.stairs(curve, edges, baseline=None, color=GREEN, linewidth=1.6)
        panel.set(xlim=(0, epochs), ylim=(0, 1.08 * highest))
    return figure


def learning_curves(groups: Mapping[str, Group]) -> Figure:
    """Draw a panel for each group: each seed's training and validation loss, with a dot at the seed's best epoch."""
    run = next(iter(groups.values())).run
    title = f"{run.task}: training loss (grey) and validation loss (green), one line per seed; dot: best epoch"
    figure, panels = _multiples([f"{name}\n{group.usual_curve}" for name, group in groups.items()], title, "loss")
    losses = []
    for panel, group in zip(panels, groups.values(), strict=True):
        for name, colour in (("train_loss", GREY), ("val_loss", GREEN)):
            lines = [[(epoch.epoch, epoch.figures[name]) for epoch in record.epochs] for record in group.records]
            losses += [loss for line in lines for _, loss in line if 0 < loss < math.inf]
            # Draw all lines as one collection, because hundreds of separate lines would take seconds.
            width, alpha = (0.9, 0.6) if len(lines) <= 10 else (0.6, 0.35)
            panel.add_collection(LineCollection(lines, colors=colour, linewidths=width, alpha=alpha))
        best = [(curve.best_epoch, curve.best_val_loss) for curve in group.curves]
        panel.plot(*zip(*best, strict=True), "o", color=ORANGE, markersize=3 if len(best) <= 10 else 2)
        panel.set_xlim(0, run.epochs)
    if losses:
        panels[0].set_yscale("log")
        # Cut off the few largest losses, because runs that nearly diverged would flatten all other lines.
        panels[0].set_ylim(0.8 * min(losses), 1.25 * float(np.quantile(losses, 0.998)))
    return figure


def sensitivity(groups: Sequence[Group], colours: Mapping[tuple[str, str], str]) -> Figure:
    """Draw a panel for each method, with the mean final validation loss and its 95% interval at each base LR.

    A method is a scheduler with an optimizer; ``colours`` maps methods to colours. For comparison, grey lines show all
    methods in every panel.
    """
    lines: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        lines.setdefault(group.method, []).append(group)
    several = len({optimizer for _, optimizer in lines}) > 1
    titles = [f"{scheduler}, {optimizer}" if several else scheduler for scheduler, optimizer in lines]
    task = groups[0].run.task
    title = f"{task}: final validation loss over the base LR"
    figure, panels = _multiples(titles, title, "validation loss", across="base LR")
    curves = [_over_rates(line) for line in lines.values()]
    ticks = sorted({group.run.lr for group in groups})
    edge = (ticks[-1] / ticks[0]) ** 0.05
    # The limits of the first panel apply to all panels. If most runs diverged, matplotlib cannot choose limits itself.
    panels[0].set_xscale("log")
    panels[0].set_xlim(ticks[0] / edge, ticks[-1] * edge)
    for panel, method, (rates, means, margins) in zip(panels, lines, curves, strict=True):
        behind = [list(zip(*other[:2], strict=True)) for other in curves]
        panel.add_collection(LineCollection(behind, colors=GREY, linewidths=0.6, alpha=0.35))
        colour = colours[method]
        panel.errorbar(rates, means, margins, color=colour, linewidth=1.8, marker="o", markersize=4, capsize=2)
        if len(ticks) <= MOST_TICKS:
            panel.set_xticks(ticks, [f"{rate:g}" for rate in ticks])
            panel.minorticks_off()
        else:
            panel.xaxis.set_major_locator(LogLocator(numticks=4))
    if has_span(means for _, means, _ in curves):
        panels[0].set_yscale("log")
    return figure


def _over_rates(line: Sequence[Group]) -> tuple[list[float], list[float], list[float]]:
    """Return base LRs, mean final validation losses, and half-widths of their confidence intervals.

    If a run diverged at a base LR, the mean and the half-width for this rate are not finite.
    """
    ordered = sorted(line, key=lambda group: group.run.lr)
    losses = [[final_val_loss(record) for record in group.records] for group in ordered]
    return [group.run.lr for group in ordered], [*map(statistics.fmean, losses)], [*map(half_width, losses)]


def has_span(rows: Iterable[Sequence[float]]) -> bool:
    """Return True if the positive and finite figures differ by more than rounding errors, as a log axis requires."""
    figures = [figure for row in rows for figure in row if 0 < figure < math.inf]
    return bool(figures) and max(figures) > (1 + ROUNDING) * min(figures)


def _multiples(titles: Sequence[str], title: str, quantity: str, across: str = "epoch") -> tuple[Figure, list[Axes]]:
    """Return a picture of small panels with common axes, and the list of its panels.

    Args:
        titles: a title for each panel; all titles must have the same number of lines.
        title: the title of the picture.
        quantity: label of the vertical axes.
        across: label of the horizontal axes.
    """
    columns = min(4, math.ceil(math.sqrt(len(titles))))
    rows = math.ceil(len(titles) / columns)
    width, height = max(6.0, 2.7 * columns), 2 * rows + 0.9 if len(titles) > 1 else 4
    figure, grid = plt.subplots(rows, columns, figsize=(width, height), sharex=True, sharey=True, squeeze=False)
    # The panels are laid out by hand, in inches, because matplotlib's layout is slow for dozens of panels.
    lines = 0.18 * (titles[0].count("\n") + 1)
    top, bottom, left, right, gap = 0.45 + lines, 0.55, 0.95, 0.12, 0.16 + lines
    panel_height = (height - top - bottom - gap * (rows - 1)) / rows
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, wspace=0.1, hspace=gap / panel_height
    )
    panels: list[Axes] = list(grid.flat)
    for number, panel in enumerate(panels):
        panel.set_visible(number < len(titles))
        panel.tick_params(labelbottom=number + columns >= len(titles))  # only in the lowest panel of each column
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color=LINE)
    for panel, name in zip(panels, titles, strict=False):
        panel.set_title(name, fontsize=10, loc="left")
    figure.supxlabel(across, fontsize=10, y=0.08 / height, va="bottom")
    figure.supylabel(quantity, fontsize=10, x=0.08 / width, ha="left")
    figure.suptitle(title, x=0.1 / width, y=1 - 0.1 / height, ha="left", va="top", fontsize=12)
    return figure, panels[: len(titles)]
