"""Draw the cards of a report. Each card shows small learning curves of one group."""

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from numpy.typing import NDArray

from pipeline.comparison.groups import Group
from pipeline.report.style import for_page, svg
from pipeline.runs.records import Record
from pipeline.schedules import top

TITLES = {"lr": "LR", "val_loss": "validation loss", "val_accuracy": "validation accuracy"}


def cards(groups: Sequence[Group], colours: Mapping[tuple[str, str], str]) -> dict[str, str]:
    """Return an SVG card for each group, keyed by the group's name.

    A card plots the LR, the validation loss and, if the task has classes, the validation accuracy. Lines show means
    over the seeds. Bands around losses and accuracies show the range over the seeds. All cards have the same axes for
    losses and accuracies. Groups with different base LRs have different LR axes, because curves with the lowest rates
    of a grid would look flat on a common axis. ``colours`` maps each pair of scheduler and optimizer to a colour.
    """
    has_accuracy = groups[0].records[0].last.val_accuracy is not None
    fields = ["lr", "val_loss", "val_accuracy"] if has_accuracy else ["lr", "val_loss"]
    limits = {field: _limits(_values(groups, field)) for field in fields[1:]}
    figure, axes = _frame(fields)
    drawn = {}
    for group in groups:
        peers = [other for other in groups if other.run.lr == group.run.lr]
        limits["lr"] = (0.0, 1.08 * top(_values(peers, "lr")))
        # One figure is reused for all groups, because creating a figure takes as long as drawing the curves.
        curves = []
        for panel, field in zip(axes, fields, strict=True):
            panel.set(xlim=(0, group.run.epochs), ylim=limits[field])
            curves += _draw(panel, group, field, colours[group.method])
        drawn[group.name] = for_page(svg(figure))
        for curve in curves:
            curve.remove()
    plt.close(figure)
    return drawn


def _values(groups: Sequence[Group], field: str) -> list[float]:
    return [value for group in groups for record in group.records for value in _curve(record, field)]


def _curve(record: Record, field: str) -> list[float]:
    """Return the value of ``field`` in each epoch of a run; ``field`` is `lr` or a figure such as `val_loss`."""
    return [epoch.lr if field == "lr" else epoch.figures[field] for epoch in record.epochs]


def _limits(figures: Sequence[float]) -> tuple[float, float]:
    """Return axis limits that cut off a few extreme values, which would otherwise flatten the curves."""
    low, high = np.quantile([figure for figure in figures if 0 < figure < math.inf] or [1.0], [0.02, 0.998])
    return float(low) * 0.9, float(high) * 1.05


def _frame(fields: Sequence[str]) -> tuple[Figure, Sequence[Axes]]:
    """Return a card without curves, and its panels."""
    height = 1.05 * len(fields)
    figure, axes = plt.subplots(len(fields), 1, figsize=(2.5, height), sharex=True)
    # The panels are laid out by hand: with dozens of cards, matplotlib's layout would take most of the time.
    figure.subplots_adjust(0.16, 0.38 / height, 0.95, 1 - 0.16 / height, hspace=0.38)
    for panel, field in zip(axes, fields, strict=True):
        if field == "val_loss":
            panel.set_yscale("log")
            panel.yaxis.set_minor_formatter(NullFormatter())
        panel.set_title(TITLES[field], fontsize=8, loc="left", pad=2)
        panel.tick_params(labelsize=7, length=2)
        panel.spines[["top", "right"]].set_visible(False)
    axes[-1].set_xlabel("epoch", fontsize=8)
    return figure, axes


def _draw(panel: Axes, group: Group, field: str, colour: str) -> list[Artist]:
    """Draw the curve of one field of a group, and return the matplotlib artists of the curve."""
    steps = [epoch.epoch for epoch in max((record.epochs for record in group.records), key=len)]
    middle, low, high = _over_seeds(group, field, len(steps))
    if field == "lr":
        return [panel.stairs(middle, [0, *steps], baseline=None, color=colour, linewidth=1.5)]
    band = panel.fill_between(steps, low, high, color=colour, alpha=0.25, linewidth=0)
    return [band, *panel.plot(steps, middle, color=colour, linewidth=1.5)]


def _over_seeds(group: Group, field: str, length: int) -> NDArray[np.float64]:
    """Return a (3, epochs) array: mean, minimum and maximum over the seeds, or NaN where no run has a finite figure."""
    values = np.full((len(group.records), length), np.nan)
    for row, record in enumerate(group.records):
        values[row, : len(record.epochs)] = _curve(record, field)
    values[~np.isfinite(values)] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # numpy warns if all seeds are NaN in an epoch
        return np.stack([np.nanmean(values, 0), np.nanmin(values, 0), np.nanmax(values, 0)])
