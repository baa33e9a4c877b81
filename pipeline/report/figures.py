"""The pictures of a sweep that `evaluate` draws."""

import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import best_of_each, is_grid
from pipeline.report.arms import Arm, arms, own
from pipeline.report.forest import against_baseline, against_leader
from pipeline.report.panels import has_span, learning_curves, rates, sensitivity
from pipeline.report.race import race
from pipeline.report.style import GREEN, GREY, INK, LINE, colours, save
from pipeline.runs.records import Record
from pipeline.schedules import top
from pipeline.training.weights import BINS, Layer

__all__ = ["FIGURES", "parameters", "ranking", "rates", "write"]

FIGURES = "figures"
"""Folder of the pictures that only some sweeps have, and of SVGs."""
MOST_LAYERS = 24
"""Layers in the picture of the weights: a deep network has hundreds, and a picture not so many columns."""
TITLE, LABEL = 11, 20
"""Letters that there is room for: in an inch of its title, and above the panel of a layer."""


def ranking(rows: Sequence[Arm], of_method: Mapping[tuple[str, str], str]) -> Figure:
    """Draw each arm as a row, in the given order: its LR curve, the metric of each seed and their mean.

    Args:
        rows: the arms.
        of_method: the colour of each scheduler and optimizer.
    """
    figure = plt.figure(figsize=(9, 0.34 * len(rows) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(rows), 2, width_ratios=[1, 4], hspace=0)
    dots = figure.add_subplot(grid[:, 1])
    longest = [max((record.epochs for record in arm.group.records), key=len) for arm in rows]
    highest = top([epoch.lr for epochs in longest for epoch in epochs])
    is_loss = rows[0].metric == "test_loss"
    shown = [[value if is_loss else 100 * value for value in arm.group.figures(arm.metric)] for arm in rows]
    for row, (arm, epochs, values) in enumerate(zip(rows, longest, shown, strict=True)):
        colour = of_method[arm.group.method]
        curve = figure.add_subplot(grid[row, 0])
        edges = [0, *(epoch.epoch for epoch in epochs)]
        curve.stairs([epoch.lr for epoch in epochs], edges, baseline=None, color=colour, linewidth=1.4)
        curve.set(xlim=(0, edges[-1]), ylim=(-0.12 * highest, 1.18 * highest))
        curve.axis("off")
        dots.plot(values, [row] * len(values), "o", color=colour, alpha=0.3, markersize=5, markeredgewidth=0)
        dots.plot(statistics.fmean(values), row, "|", color=colour, markersize=15, markeredgewidth=2.6)
        if arm.is_baseline:
            dots.axvline(statistics.fmean(values), color=INK, linewidth=0.8, linestyle=":", zorder=0)
    dots.set_yticks(range(len(rows)), [arm.name for arm in rows])
    dots.set_ylim(len(rows) - 0.5, -0.5)
    dots.set_xlabel(f"{'test loss' if is_loss else 'test accuracy, %'} (dot: one seed; bar: mean)")
    if is_loss and has_span(shown):
        dots.set_xscale("log")
    dots.grid(axis="y", color=LINE)
    dots.set_axisbelow(True)
    dots.spines[["top", "right", "left"]].set_visible(False)
    dots.tick_params(axis="y", length=0)
    run = rows[0].group.run
    title = f"{run.task}, {run.epochs} epochs: the learning rate over the run, and its result"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def parameters(runs: Mapping[str, tuple[Record, Sequence[Layer]]]) -> Figure:
    """Draw histograms of weights, a column for each layer and a row for each run: grey before training, green after.

    Args:
        runs: records and their layers, all of the same network, by the names of the rows.
    """
    record, every = next(iter(runs.values()))
    columns = _shown(every)
    layers = [every[column] for column in columns]
    size = width, _ = 1.2 + 1.5 * len(layers), 0.36 * len(runs) + 1.2
    figure, axes = plt.subplots(1, len(layers), figsize=size, squeeze=False, layout="constrained")
    for column, first, panel in zip(columns, layers, axes[0], strict=True):
        of_runs = [each[column] for _, each in runs.values()]
        for row, layer in enumerate(of_runs):
            edges = np.linspace(layer.low, layer.high, BINS + 1)
            for weights, colour, alpha in ((layer.start, GREY, 0.5), (layer.end, GREEN, 0.6)):
                heights = np.array(weights.histogram) / (max(weights.histogram) or 1)
                panel.stairs(row - 0.9 * heights, edges, baseline=row, fill=True, color=colour, alpha=alpha, zorder=row)
        panel.set_xlim(*_weight_limits(of_runs))
        panel.set_title(f"{_broken(first.name)}\n{' x '.join(map(str, first.shape))}", fontsize=8, loc="left")
        panel.set_ylim(len(runs) - 0.9, -1)
        panel.set_yticks(range(len(runs)), list(runs) if panel is axes[0][0] else [])
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    title = f"{record.run.task}: weights of each scheduler's best run before (grey) and after (green) training"
    if len(layers) < len(every):
        title += f"; {len(layers)} of {len(every)} layers, all are in parameters.csv"
    figure.suptitle(fill(title, int(TITLE * width)), x=0.01, ha="left", fontsize=12)
    return figure


def _broken(name: str) -> str:
    """Break the name of a layer after dots where it is wider than its panel."""
    lines = [""]
    for part in name.split("."):
        if lines[-1] and len(lines[-1]) + len(part) >= LABEL:
            lines.append("")
        lines[-1] += f"{part}."
    return "\n".join(lines)[:-1]


def _shown(layers: Sequence[Layer]) -> list[int]:
    """Choose the layers that a picture has room for: all, or matrices and kernels from the first to the last."""
    if len(layers) <= MOST_LAYERS:
        return list(range(len(layers)))
    large = [number for number, layer in enumerate(layers) if len(layer.shape) > 1] or list(range(len(layers)))
    places = np.linspace(0, len(large) - 1, min(MOST_LAYERS, len(large))).round().astype(int)
    return [large[place] for place in places]


def _weight_limits(layers: Sequence[Layer]) -> tuple[float, float]:
    """Return the ends of an axis: at most twice the median range, so that outliers do not flatten everything else."""
    low, high = np.median([(layer.low, layer.high) for layer in layers], axis=0)
    half = (high - low) / 2 or 0.5
    lowest, highest = min(layer.low for layer in layers), max(layer.high for layer in layers)
    left, right = max(float(low - half), lowest), min(float(high + half), highest)
    room = 0.0 if left < right else 0.5 * abs(left) or 0.5  # all weights are the same
    return left - room, right + room


def write(folder: Path, findings: Findings, layers: Sequence[tuple[Record, Sequence[Layer]]]) -> dict[str, Figure]:
    """Draw all pictures of a sweep.

    PNGs of what every sweep has go into ``folder``; SVGs, and what only some sweeps have, into its folder `FIGURES`.
    All but the sensitivity show each scheduler at its own base LR.

    Args:
        folder: where to draw.
        findings: on the sweep.
        layers: each run with its layers.

    Returns:
        The figures by name, closed but drawn.
    """
    figures = folder / FIGURES
    shutil.rmtree(figures, ignore_errors=True)  # an earlier sweep may have had other pictures
    rows, answer = arms(findings), findings.answer
    names = {arm.group.name: arm.name for arm in rows}
    best = {record.run.name for record in best_of_each([record for record, _ in layers], answer.budget is not None)}
    shown = {names[record.run.group]: (record, each) for record, each in layers if record.run.name in best}
    always = {
        "ranking": ranking(rows, colours(rows)),
        "learning_curves": learning_curves({arm.name: arm.group for arm in rows}),
        "parameters": parameters({arm.name: shown[arm.name] for arm in rows}),
    }
    for name, figure in always.items():
        save(figure, folder / f"{name}.png", figures / f"{name}.svg")
    some = {}
    if len(rows) > 1:
        some["leader"] = against_leader(rows, answer.scale)
    if asked := own(findings):
        some["baseline"] = against_baseline(asked, answer.scale)
    if len(rows) > 1 and answer.budget is not None:
        some["race"] = race(rows, answer)
    if is_grid(group.run for group in findings.sweep.groups):
        some["sensitivity"] = sensitivity(findings.sweep.tuning, colours(rows))
    for name, figure in some.items():
        save(figure, figures / f"{name}.png", figures / f"{name}.svg")
    return always | some
