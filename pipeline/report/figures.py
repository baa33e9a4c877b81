"""Pictures: what `evaluate` and `schedules` draw."""

import io
import math
import re
import shutil
import statistics
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np

from pipeline.comparison import wording as verdict
from pipeline.comparison.questions import Group, Question, at_own_best, best_runs, is_grid, margin, ranked
from pipeline.files import replacing
from pipeline.params import Metric
from pipeline.records import Record
from pipeline.training.weights import BINS, Layer

matplotlib.use("agg")  # no screen needed
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#7F7F7F", "#1A1A1A"
"""From Okabe & Ito's palette, which colour-blind readers tell apart; green is what is no verdict."""
FIGURES = "figures"
"""The folder for pictures that not every sweep has, and for those that one can zoom into."""
COLOURS: dict[str, str] = {"better": BLUE, "worse": ORANGE, "not resolved": GREY}
"""Of a verdict: a scheduler has that of its verdict in every picture, and the baseline is drawn in ink."""


PAGE_COLOURS = {
    BLUE: "var(--better)",
    ORANGE: "var(--worse)",
    GREEN: "var(--plain)",
    GREY: "var(--open)",
    INK: "currentColor",
    "#000000": "currentColor",
    "#EEEEEE": "var(--line)",
}
"""What becomes of colours in a page that is light or dark."""


def colours(groups: Sequence[Group], questions: Sequence[Question]) -> dict[str, str]:
    """The colour of each group, by its name: that of the first verdict on its scheduler and optimizer, at any rate.

    What others are compared with is in ink.
    """
    found: dict[tuple[str, str], str] = {}
    for question in questions:
        for each in question.comparisons:
            found.setdefault(each.other.kind, INK)
    for each in reversed([each for question in questions for each in question.comparisons]):
        if found.get(each.group.kind) != INK:
            found[each.group.kind] = COLOURS[each.verdict]
    return {group.name: found.get(group.kind, GREEN) for group in groups}


def ranking(groups: Sequence[Group], metric: Metric, questions: Sequence[Question]) -> Figure:
    """Each group as a row, best first: its LR curve, and the metric of each seed and their mean."""
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
        figures = [value if is_loss else 100 * value for value in group.of(metric)]
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
    return figure


def rates(curves: Mapping[str, Sequence[float]], epochs: int, title: str) -> Figure:
    """LR curves as small multiples.

    Args:
        curves: the rate of every batch of the run, by name.
        epochs: how many epochs the batches make.
        title: above all.
    """
    figure, panels = _multiples(list(curves), title, "learning rate")
    top = max(map(max, curves.values()))
    for panel, curve in zip(panels, curves.values(), strict=True):
        edges = [epochs * batch / len(curve) for batch in range(len(curve) + 1)]
        panel.stairs(curve, edges, baseline=None, color=GREEN, linewidth=1.6)
        panel.set(xlim=(0, epochs), ylim=(0, 1.08 * top))
    return figure


def learning_curves(groups: Sequence[Group]) -> Figure:
    """Training and validation loss of each group over the epochs: a line a seed, and each run's best epoch."""
    run = groups[0].records[0].run
    title = f"{run.task}: loss in training (grey) and validation (green), a line a seed; a dot is its best epoch"
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
        panel.set(xlim=(0, run.epochs), yscale="log")
    if losses:  # the few largest losses, of runs that went astray, would flatten all others
        panels[0].set_ylim(0.8 * min(losses), 1.25 * float(np.quantile(losses, 0.998)))
    return figure


def parameters(runs: Sequence[tuple[Record, Sequence[Layer]]]) -> Figure:
    """Histograms of each layer's weights: a column a layer, a row a run, grey at the start, green at the end."""
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
        panel.set_xlim(*_usual([layers[column] for _, layers in runs]))
        panel.set_title(f"{name}\n{' x '.join(map(str, runs[0][1][column].shape))}", fontsize=8, loc="left")
        panel.set_ylim(len(runs) - 0.9, -1)
        panel.set_yticks(range(len(runs)), [record.run.group for record, _ in runs] if column == 0 else [])
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.tick_params(axis="y", length=0)
        panel.tick_params(axis="x", labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    title = f"{runs[0][0].run.task}: weights of each scheduler's best run at the start (grey) and the end (green)"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def _usual(layers: Sequence[Layer]) -> tuple[float, float]:
    """From where to where weights lie, but at most twice the usual: few that went astray would flatten all others."""
    low, high = np.median([(layer.low, layer.high) for layer in layers], axis=0)
    half = (high - low) / 2 or 0.5
    lowest, highest = min(layer.low for layer in layers), max(layer.high for layer in layers)
    return max(float(low - half), lowest), min(float(high + half), highest)


def differences(questions: Sequence[Question], metric: Metric) -> Figure:
    """A forest plot of each question: the mean of the paired differences and its 95% interval, a row each."""
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
            panel.plot([scale * each.low, scale * each.high], [row, row], color=colour, linewidth=2.2, alpha=0.75)
            panel.plot(scale * each.mean, row, "o", color=colour, markersize=5.5)
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_yticks(range(len(ordered)), [verdict.name(each.group, question) for each in ordered])
        panel.set_ylim(len(ordered) - 0.4, -0.6)
        what = "test accuracy, in points" if scale == 100 else "test loss"
        panel.set_xlabel(f"paired differences of {what}: mean and 95% interval")
        panel.set_title(question.title, fontsize=10, loc="left")
        panel.grid(axis="x", color="#EEEEEE")
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
    present = {each.verdict for question in questions for each in question.comparisons}
    handles = [Line2D([], [], color=COLOURS[word], marker="o", label=word) for word in COLOURS if word in present]
    figure.legend(handles=handles, loc="outside lower left", ncols=3, frameon=False, fontsize=9)
    return figure


def sensitivity(groups: Sequence[Group], questions: Sequence[Question]) -> Figure:
    """Final validation loss over the base LR: small panels, the mean and its 95% interval; the others' means behind."""
    of_group = colours(groups, questions)
    lines: dict[tuple[str, str], list[Group]] = {}
    for group in groups:
        lines.setdefault(group.kind, []).append(group)
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
        panel.set(xscale="log", yscale="log")
        panel.xaxis.set_major_locator(LogLocator(numticks=4))
    return figure


def _over_rates(line: Sequence[Group]) -> tuple[list[float], list[float], list[float]]:
    """Base LRs, mean final validation losses, and half of their 95% intervals; no number where a run diverged."""
    rates, means, margins = [], [], []
    for group in sorted(line, key=lambda each: each.run.lr):
        losses = [record.last.val_loss for record in group.records]
        rates.append(group.run.lr)
        means.append(statistics.fmean(losses))
        margins.append(margin(losses))
    return rates, means, margins


def cards(groups: Sequence[Group], of_group: Mapping[str, str]) -> dict[str, str]:
    """What each group did, by its name, as SVG: LR, validation loss, and accuracy where there are classes.

    One above the other, in scales that all share, but for rates of another base LR: means over the seeds, and bands
    from the lowest seed to the highest.
    """
    fields = ["lr", "val_loss"] + ["val_accuracy"] * groups[0].has_accuracy
    epochs = [epoch for group in groups for record in group.records for epoch in record.epochs]
    values = {field: [getattr(epoch, field) for epoch in epochs] for field in fields}
    limits = {field: _limits(of_field) for field, of_field in values.items()}
    drawn = {}
    for group in groups:
        # A grid's rates are far apart: in one scale the lowest would be flat lines.
        alike = [other for other in groups if other.run.lr == group.run.lr]
        limits["lr"] = (
            0.0,
            1.08 * max(epoch.lr for each in alike for record in each.records for epoch in record.epochs),
        )
        drawn[group.name] = _card(group, of_group[group.name], fields, limits)
    return drawn


def _limits(figures: Sequence[float]) -> tuple[float, float]:
    """Where an axis begins and ends: the few figures that are far from all others would flatten them."""
    low, high = np.quantile([each for each in figures if 0 < each < math.inf] or [1.0], [0.02, 0.998])
    return float(low) * 0.9, float(high) * 1.05


def _card(group: Group, colour: str, fields: Sequence[str], limits: Mapping[str, tuple[float, float]]) -> str:
    height = 1.05 * len(fields)
    figure, axes = plt.subplots(len(fields), 1, figsize=(2.5, height), sharex=True)
    # Laid out by hand: there are many of these, and to let matplotlib do it takes most of their time.
    figure.subplots_adjust(0.16, 0.38 / height, 0.95, 1 - 0.16 / height, hspace=0.38)
    longest = max((record.epochs for record in group.records), key=len)
    steps = [epoch.epoch for epoch in longest]
    for panel, field in zip(axes, fields, strict=True):
        values = np.full((len(group.records), len(steps)), np.nan)
        for row, record in enumerate(group.records):
            values[row, : len(record.epochs)] = [getattr(epoch, field) for epoch in record.epochs]
        values[~np.isfinite(values)] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # an epoch that no seed came through
            middle, low, high = np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0)
        panel.set(xlim=(0, group.run.epochs), ylim=limits[field])
        if field == "lr":
            panel.stairs(middle, [0, *steps], baseline=None, color=colour, linewidth=1.5)
        else:
            panel.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
            panel.plot(steps, middle, color=colour, linewidth=1.5)
        if field == "val_loss":
            panel.set_yscale("log")
            panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_title({"lr": "LR"}.get(field, field.replace("val_", "validation ")), fontsize=8, loc="left", pad=2)
        panel.tick_params(labelsize=7, length=2)
        panel.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("epoch", fontsize=8)
    return inline(figure)


def inline(figure: Figure) -> str:
    """A figure as SVG for a page: as wide as there is room, its colours those of the page, its text text."""
    drawn = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lr-schedules"}):
        figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    svg = drawn.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, name in PAGE_COLOURS.items():
        svg = svg.replace(colour.lower(), name)
    return re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", svg, count=1)


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


def write(
    folder: Path,
    groups: Sequence[Group],
    metric: Metric,
    questions: Sequence[Question],
    layers: Sequence[tuple[Record, Sequence[Layer]]],
) -> dict[str, Figure]:
    """Draw all that a sweep has to show: PNGs of what each has in ``folder``; SVGs, and what only some have, below it.

    Of a grid, learning curves and weights are those of each scheduler at its own best base LR.

    Args:
        folder: to draw in.
        groups: of the sweep.
        metric: that they are compared by.
        questions: and their answers.
        layers: of all runs.

    Returns:
        The figures, by name.
    """
    figures = folder / FIGURES
    shutil.rmtree(figures, ignore_errors=True)  # a picture of an earlier sweep may be none of this one
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


def save(figure: Figure, *paths: Path) -> None:
    """Write a figure as PNG and SVG, as the suffixes of ``paths`` have it, and be done with it."""
    for path in paths:
        kind = path.suffix[1:]
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        with plt.rc_context({"svg.hashsalt": "lr-schedules"}), replacing(path) as draft:
            figure.savefig(draft, format=kind, dpi=130, metadata=metadata)
        figure.set_layout_engine("none")  # it is laid out now; to do so again takes as long as to draw
    plt.close(figure)
