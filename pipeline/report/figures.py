"""The pictures of a sweep: what `evaluate` and `schedules` draw."""

import math
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator

from pipeline.comparison.groups import Group, at_own_best, best_runs, is_grid, ranked
from pipeline.comparison.phrases import name as name_in
from pipeline.comparison.questions import Question
from pipeline.comparison.statistics import margin
from pipeline.params import Metric
from pipeline.records import Record
from pipeline.report.style import COLOURS, GREEN, GREY, INK, LINE, ORANGE, colours, save
from pipeline.training.weights import BINS, Layer

FIGURES = "figures"
"""Folder of the pictures that only some sweeps have, and of SVGs."""


def ranking(groups: Sequence[Group], metric: Metric, questions: Sequence[Question]) -> Figure:
    """Draw each group as a row, in the given order: its LR curve, the metric of each seed and their mean."""
    of_group = colours(groups, questions)
    references = {each.other.name for question in questions[:1] for each in question.comparisons}
    figure = plt.figure(figsize=(9, 0.34 * len(groups) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(groups), 2, width_ratios=[1, 4], hspace=0)
    dots = figure.add_subplot(grid[:, 1])
    longest = {group.name: max((record.epochs for record in group.records), key=len) for group in groups}
    top = max(epoch.lr for epochs in longest.values() for epoch in epochs)
    is_loss = metric == "test_loss"
    for row, group in enumerate(groups):
        epochs = longest[group.name]
        figures = [value if is_loss else 100 * value for value in group.figures(metric)]
        colour = of_group[group.name]
        curve = figure.add_subplot(grid[row, 0])
        edges = [0, *(epoch.epoch for epoch in epochs)]
        curve.stairs([epoch.lr for epoch in epochs], edges, baseline=None, color=colour, linewidth=1.4)
        curve.set(xlim=(0, edges[-1]), ylim=(-0.12 * top, 1.18 * top))
        curve.axis("off")
        dots.plot(figures, [row] * len(figures), "o", color=colour, alpha=0.3, markersize=5, markeredgewidth=0)
        dots.plot(statistics.fmean(figures), row, "|", color=colour, markersize=15, markeredgewidth=2.6)
        if group.name in references:
            dots.axvline(statistics.fmean(figures), color=INK, linewidth=0.8, linestyle=":", zorder=0)
    dots.set_yticks(range(len(groups)), [group.name for group in groups])
    dots.set_ylim(len(groups) - 0.5, -0.5)
    dots.set_xlabel(f"{'test loss' if is_loss else 'test accuracy, %'} (dot: one seed; bar: mean)")
    if is_loss and _has_positive(group.figures(metric) for group in groups):
        dots.set_xscale("log")
    dots.grid(axis="y", color=LINE)
    dots.set_axisbelow(True)
    dots.spines[["top", "right", "left"]].set_visible(False)
    dots.tick_params(axis="y", length=0)
    run = groups[0].records[0].run
    title = f"{run.task}, {run.epochs} epochs: the learning rate over the run, and its result"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def _has_positive(rows: Iterable[Sequence[float]]) -> bool:
    """Return True if a figure is positive and finite: matplotlib cannot draw a log axis without one."""
    return any(0 < figure < math.inf for row in rows for figure in row)


def rates(curves: Mapping[str, Sequence[float]], epochs: int, title: str) -> Figure:
    """Draw learning-rate curves as small multiples.

    Args:
        curves: the learning rate of every batch of the run, by name.
        epochs: number that the batches make.
        title: of the whole figure.
    """
    figure, panels = _multiples(list(curves), title, "learning rate")
    top = max(map(max, curves.values()))
    for panel, curve in zip(panels, curves.values(), strict=True):
        edges = [epochs * batch / len(curve) for batch in range(len(curve) + 1)]
        panel.stairs(curve, edges, baseline=None, color=GREEN, linewidth=1.6)
        panel.set(xlim=(0, epochs), ylim=(0, 1.08 * top))
    return figure


def learning_curves(groups: Sequence[Group]) -> Figure:
    """Draw training and validation loss of each group over the epochs: a line for each seed, and its best epoch."""
    run = groups[0].records[0].run
    title = f"{run.task}: training loss (grey) and validation loss (green), one line per seed; dot: best epoch"
    figure, panels = _multiples([f"{group.name}\n{group.usual_curve}" for group in groups], title, "loss")
    losses = []
    for panel, group in zip(panels, groups, strict=True):
        for record, curve in zip(group.records, group.curves, strict=True):
            steps = [epoch.epoch for epoch in record.epochs]
            for field, colour in (("train_loss", GREY), ("val_loss", GREEN)):
                figures = [getattr(epoch, field) for epoch in record.epochs]
                losses += [value for value in figures if 0 < value < math.inf]
                panel.plot(steps, figures, color=colour, linewidth=0.9, alpha=0.6)
            panel.plot(curve.best_epoch, curve.best_val_loss, "o", color=ORANGE, markersize=3)
        panel.set_xlim(0, run.epochs)
    if losses:
        panels[0].set_yscale("log")
        # The few largest losses, of runs that nearly diverged, would flatten all others.
        panels[0].set_ylim(0.8 * min(losses), 1.25 * float(np.quantile(losses, 0.998)))
    return figure


def parameters(runs: Sequence[tuple[Record, Sequence[Layer]]]) -> Figure:
    """Draw histograms of weights, a column for each layer and a row for each run: grey before training, green after.

    Args:
        runs: records and their layers, all of the same network.
    """
    names = [layer.name for layer in runs[0][1]]
    figure, axes = plt.subplots(
        1, len(names), figsize=(1.2 + 1.5 * len(names), 0.36 * len(runs) + 1.2), squeeze=False, layout="constrained"
    )
    for column, (name, panel) in enumerate(zip(names, axes[0], strict=True)):
        for row, (_, layers) in enumerate(runs):
            layer = layers[column]
            edges = np.linspace(layer.low, layer.high, BINS + 1)
            for weights, colour, alpha in ((layer.start, GREY, 0.5), (layer.end, GREEN, 0.6)):
                heights = np.array(weights.histogram) / (max(weights.histogram) or 1)
                panel.stairs(row - 0.9 * heights, edges, baseline=row, fill=True, color=colour, alpha=alpha, zorder=row)
        panel.set_xlim(*_weight_limits([layers[column] for _, layers in runs]))
        panel.set_title(f"{name}\n{' x '.join(map(str, runs[0][1][column].shape))}", fontsize=8, loc="left")
        panel.set_ylim(len(runs) - 0.9, -1)
        panel.set_yticks(range(len(runs)), [record.run.group for record, _ in runs] if column == 0 else [])
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    title = f"{runs[0][0].run.task}: weights of each scheduler's best run before (grey) and after (green) training"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def _weight_limits(layers: Sequence[Layer]) -> tuple[float, float]:
    """Return the ends of an axis: at most twice the median range, so that outliers do not flatten everything else."""
    low, high = np.median([(layer.low, layer.high) for layer in layers], axis=0)
    half = (high - low) / 2 or 0.5
    lowest, highest = min(layer.low for layer in layers), max(layer.high for layer in layers)
    return max(float(low - half), lowest), min(float(high + half), highest)


def differences(questions: Sequence[Question], metric: Metric) -> Figure:
    """Draw a forest plot of each question: the mean paired difference of each group and its 95% interval."""
    rows = [len(question.comparisons) for question in questions]
    figure, grid = plt.subplots(
        len(rows), 1, figsize=(7, 0.27 * sum(rows) + 1.1 * len(rows) + 0.4), height_ratios=rows, squeeze=False,
        layout="constrained",
    )  # fmt: skip
    scale = 100 if metric == "test_accuracy" else 1
    for panel, question in zip(grid.flat, questions, strict=True):
        ordered = sorted(question.comparisons, key=lambda each: -each.gain)
        for row, each in enumerate(ordered):
            colour = COLOURS[each.verdict]
            ends = [scale * each.test.low, scale * each.test.high]
            panel.plot(ends, [row, row], color=colour, linewidth=2.2, alpha=0.75)
            panel.plot(scale * each.test.mean, row, "o", color=colour, markersize=5.5)
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_yticks(range(len(ordered)), [name_in(each.group, question) for each in ordered])
        panel.set_ylim(len(ordered) - 0.4, -0.6)
        quantity = "test loss" if scale == 1 else "test accuracy, percentage points"
        panel.set_xlabel(f"paired difference in {quantity}: mean and 95% interval")
        panel.set_title(question.title, fontsize=10, loc="left")
        panel.grid(axis="x", color=LINE)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    present = {each.verdict for question in questions for each in question.comparisons}
    handles = [Line2D([], [], color=COLOURS[word], marker="o", label=word) for word in COLOURS if word in present]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def sensitivity(groups: Sequence[Group], questions: Sequence[Question]) -> Figure:
    """Draw the final validation loss over the base LR: mean and 95% interval, a panel for each scheduler and optimizer.

    The means of the others are grey lines behind.
    """
    of_group = colours(groups, questions)
    lines: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        lines.setdefault(group.method, []).append(group)
    several = len({optimizer for _, optimizer in lines}) > 1
    titles = [f"{scheduler}, {optimizer}" if several else scheduler for scheduler, optimizer in lines]
    task = groups[0].run.task
    figure, panels = _multiples(titles, f"{task}: final validation loss over the base LR", "validation loss")
    figure.supxlabel("base LR", fontsize=10)
    curves = [_over_rates(line) for line in lines.values()]
    for panel, line, (rates, means, margins) in zip(panels, lines.values(), curves, strict=True):
        for other in curves:
            panel.plot(*other[:2], color=GREY, linewidth=0.6, alpha=0.35)
        colour = of_group[line[0].name]
        panel.errorbar(rates, means, margins, color=colour, linewidth=1.8, marker="o", markersize=4, capsize=2)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
    if _has_positive(means for _, means, _ in curves):
        panels[0].set_yscale("log")
    return figure


def _over_rates(line: Sequence[Group]) -> tuple[list[float], list[float], list[float]]:
    """Return base LRs, mean final validation losses and half the width of their intervals; NaN where a run diverged."""
    rates, means, margins = [], [], []
    for group in sorted(line, key=lambda each: each.run.lr):
        losses = [record.last.val_loss for record in group.records]
        rates.append(group.run.lr)
        means.append(statistics.fmean(losses))
        margins.append(margin(losses))
    return rates, means, margins


def write(
    folder: Path,
    groups: Sequence[Group],
    metric: Metric,
    questions: Sequence[Question],
    layers: Sequence[tuple[Record, Sequence[Layer]]],
) -> dict[str, Figure]:
    """Draw all pictures of a sweep.

    PNGs of what every sweep has go into ``folder``; SVGs, and what only some sweeps have, into its folder `FIGURES`.
    For a grid, learning curves and weights are those of each scheduler at its own best base LR.

    Args:
        folder: where to draw.
        groups: all of the sweep.
        metric: by which they are compared.
        questions: answered.
        layers: each run with its layers.

    Returns:
        The figures by name, closed but drawn.
    """
    figures = folder / FIGURES
    shutil.rmtree(figures, ignore_errors=True)  # an earlier sweep may have had other pictures
    own = at_own_best(groups)
    shown = {record.run.name for record in best_runs([record for group in own for record in group.records])}
    always = {
        "ranking": ranking(ranked(groups, metric), metric, questions),
        "learning_curves": learning_curves(own),
        "parameters": parameters([pair for pair in layers if pair[0].run.name in shown]),
    }
    for name, figure in always.items():
        save(figure, folder / f"{name}.png", figures / f"{name}.svg")
    some = {"differences": differences(questions, metric)} if questions else {}
    if is_grid(groups):
        some["sensitivity"] = sensitivity(groups, questions)
    for name, figure in some.items():
        save(figure, figures / f"{name}.png", figures / f"{name}.svg")
    return always | some


def _multiples(titles: Sequence[str], title: str, quantity: str) -> tuple[Figure, list[Axes]]:
    """Return a figure of small panels that share their axes, one for each title, and those panels."""
    columns = min(4, math.ceil(math.sqrt(len(titles))))
    rows = math.ceil(len(titles) / columns)
    size = (max(6.0, 2.7 * columns), 2 * rows + 0.9 if len(titles) > 1 else 4)
    figure, grid = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    panels: list[Axes] = list(grid.flat)
    for number, panel in enumerate(panels):
        panel.set_visible(number < len(titles))
        panel.tick_params(labelbottom=number + columns >= len(titles))  # only panels with nothing below
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color=LINE)
    for panel, name in zip(panels, titles, strict=False):
        panel.set_title(name, fontsize=10, loc="left")
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(quantity, fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure, panels[: len(titles)]
