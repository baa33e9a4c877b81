"""Pictures: what `evaluate` and `schedules` draw."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from pipeline.analysis import BINS, Layer
from pipeline.comparison import Group
from pipeline.files import replacing
from pipeline.records import Record

matplotlib.use("agg")  # no screen needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#999999"
"""From Okabe & Ito's palette, which colour-blind readers tell apart."""


def draw_ranking(path: Path, groups: Sequence[Group], baseline: str) -> None:
    """Draw each group as a row, best first: its LR curve, and the metric of each seed and their mean."""
    figure = plt.figure(figsize=(9, 0.34 * len(groups) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(groups), 2, width_ratios=[1, 4], hspace=0)
    dots = figure.add_subplot(grid[:, 1])
    longest = {group.name: max((record.epochs for record in group.records), key=len) for group in groups}
    top = max(epoch.lr for epochs in longest.values() for epoch in epochs)
    is_loss = groups[0].metric == "test_loss"
    for row, group in enumerate(groups):
        epochs = longest[group.name]
        figures = [value if is_loss else 100 * value for value in group.figures]
        is_baseline = group.records[0].run.scheduler == baseline
        colour = ORANGE if is_baseline else BLUE
        curve = figure.add_subplot(grid[row, 0])
        edges = [0, *(epoch.epoch for epoch in epochs)]
        curve.stairs([epoch.lr for epoch in epochs], edges, baseline=None, color=colour, linewidth=1.4)
        curve.set(xlim=(0, edges[-1]), ylim=(-0.12 * top, 1.18 * top))
        curve.axis("off")
        dots.plot(figures, [row] * len(figures), "o", color=colour, alpha=0.3, markersize=5, markeredgewidth=0)
        dots.plot(statistics.fmean(figures), row, "|", color=colour, markersize=15, markeredgewidth=2.6)
        if is_baseline:
            dots.axvline(statistics.fmean(figures), color=ORANGE, linewidth=0.8, linestyle=":", zorder=0)
    dots.set_yticks(range(len(groups)), [group.name for group in groups])
    dots.set_ylim(len(groups) - 0.5, -0.5)
    dots.set_xlabel(f"{'test loss' if is_loss else 'test accuracy in %'} (a dot is a seed, a bar their mean)")
    if is_loss:
        dots.set_xscale("log")
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
    figure, panels = _multiples(list(curves), title, "learning rate")
    top = max(max(rates) for rates in curves.values())
    for panel, rates in zip(panels, curves.values(), strict=True):
        edges = [epochs * batch / len(rates) for batch in range(len(rates) + 1)]
        panel.stairs(rates, edges, baseline=None, color=BLUE, linewidth=1.6)
        panel.set(xlim=(0, epochs), ylim=(0, 1.08 * top))
    _save(figure, path)


def draw_learning_curves(path: Path, groups: Sequence[Group]) -> None:
    """Draw training and validation loss of each group over the epochs: a line a seed, and each run's best epoch."""
    run = groups[0].records[0].run
    title = f"{run.task}: loss in training (grey) and validation (blue), a line a seed; a dot is its best epoch"
    figure, panels = _multiples([f"{group.name}\n{group.usual_curve}" for group in groups], title, "loss")
    losses = []
    for panel, group in zip(panels, groups, strict=True):
        for record, curve in zip(group.records, group.curves, strict=True):
            steps = [epoch.epoch for epoch in record.epochs]
            for field, colour in (("train_loss", GREY), ("val_loss", BLUE)):
                figures = [getattr(epoch, field) for epoch in record.epochs]
                losses += [value for value in figures if 0 < value < math.inf]
                panel.plot(steps, figures, color=colour, linewidth=0.9, alpha=0.6)
            panel.plot(curve.best_epoch, curve.best_val_loss, "o", color=ORANGE, markersize=3)
        panel.set(xlim=(0, run.epochs), yscale="log")
    if losses:  # the few largest losses, of runs that went astray, would flatten all others
        panels[0].set_ylim(0.8 * min(losses), 1.25 * float(np.quantile(losses, 0.998)))
    _save(figure, path)


def draw_parameters(path: Path, runs: Sequence[tuple[Record, Sequence[Layer]]]) -> None:
    """Draw histograms of each layer's weights: a column a layer, a row a run, grey at the start, blue at the end."""
    names = [layer.name for layer in runs[0][1]]
    figure, axes = plt.subplots(
        1, len(names), figsize=(1.2 + 1.5 * len(names), 0.36 * len(runs) + 1.2), squeeze=False, layout="constrained"
    )
    for column, (name, panel) in enumerate(zip(names, axes[0], strict=True)):
        for row, (_, layers) in enumerate(runs):
            layer = layers[column]
            edges = np.linspace(layer.low, layer.high, BINS + 1)
            for weights, colour, alpha in ((layer.start, GREY, 0.5), (layer.end, BLUE, 0.6)):
                heights = np.array(weights.histogram) / (max(weights.histogram) or 1)
                panel.stairs(row - 0.9 * heights, edges, baseline=row, fill=True, color=colour, alpha=alpha, zorder=row)
        panel.set_title(f"{name}\n{' x '.join(map(str, runs[0][1][column].shape))}", fontsize=8, loc="left")
        panel.set_ylim(len(runs) - 0.9, -1)
        panel.set_yticks(range(len(runs)), [record.run.group for record, _ in runs] if column == 0 else [])
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    title = f"{runs[0][0].run.task}: weights of each scheduler's best run at the start (grey) and the end (blue)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    _save(figure, path)


def _multiples(titles: Sequence[str], title: str, quantity: str) -> tuple[Figure, list[Axes]]:
    """A figure of small panels, one below each of ``titles``, that share their axes; epochs run to the right."""
    columns = min(4, math.ceil(math.sqrt(len(titles))))
    rows = math.ceil(len(titles) / columns)
    size = (max(6.0, 2.7 * columns), 2 * rows + 0.9 if len(titles) > 1 else 4)
    figure, grid = plt.subplots(
        rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    panels: list[Axes] = list(grid.flat)
    for number, panel in enumerate(panels):
        panel.set_visible(number < len(titles))
        panel.tick_params(labelbottom=number + columns >= len(titles))  # those with nothing below
        panel.set_axisbelow(True)
        panel.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(color="#EEEEEE")
    for panel, name in zip(panels, titles, strict=False):
        panel.set_title(name, fontsize=10, loc="left")
    figure.supxlabel("epoch", fontsize=10)
    figure.supylabel(quantity, fontsize=10)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure, panels[: len(titles)]


def _save(figure: Figure, path: Path) -> None:
    with replacing(path) as draft:
        figure.savefig(draft, format="png", dpi=130, metadata={"Software": None})
    plt.close(figure)
