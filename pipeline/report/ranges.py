"""Range tests as a picture, a table and commands."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich import box
from rich.console import Console
from rich.table import Table

from pipeline.comparison.stability import HIGHEST, RangeTest, Reading, curves
from pipeline.report.advice import COMMAND
from pipeline.report.style import BLUE, GREEN, GREY, INK, ORANGE

TOP = 1.5
"""The highest loss that is shown, in losses of the start."""


def draw(tests: Sequence[RangeTest], readings: Mapping[str, Reading], title: str) -> Figure:
    """Draw loss against rate, a panel for each optimizer: a line for each seed, and their median if the loss falls.

    Args:
        tests: of each optimizer.
        readings: what they say, by optimizer; a test whose loss does not fall has none.
        title: of the whole figure.
    """
    figure, panels = plt.subplots(
        len(tests), 1, figsize=(9, 0.6 + 3.2 * len(tests)), squeeze=False, sharex=True, layout="constrained"
    )
    for panel, test in zip(panels[:, 0], tests, strict=True):
        _panel(panel, test, readings.get(test.optimizer))
        panel.set_ylabel("loss")
        panel.set_title(test.optimizer, loc="left", fontsize=10)
    panels[-1, 0].set_xlabel("learning rate of the batch")
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def _panel(panel: Axes, test: RangeTest, reading: Reading | None) -> None:
    for losses in test.losses:
        panel.plot(test.rates, losses[1:], color=GREY, linewidth=0.5, alpha=0.6)
    if found := curves(test):
        smoothed = [each for _, each in found]
        panel.plot(test.rates, np.median(smoothed, axis=0), color=GREEN, linewidth=2)
        highest = TOP * max(start for start, _ in found)
        if highest > 0:
            panel.set_ylim(min(0.0, float(np.min(smoothed))), highest)
    panel.set_xscale("log")
    panel.set_xlim(test.rates[0], test.rates[-1])
    panel.spines[["top", "right"]].set_visible(False)
    if reading is None:
        return
    marks = [(reading.steepest, BLUE, "steepest"), (reading.suggestion, INK, "suggestion")]
    if math.isfinite(reading.last_stable):
        marks.append((reading.last_stable, ORANGE, "last stable"))
        panel.axvspan(reading.last_stable, test.rates[-1], color=ORANGE, alpha=0.08, linewidth=0)
    for row, (rate, colour, name) in enumerate(marks):
        panel.axvline(rate, color=colour, linewidth=1, linestyle="--")
        is_right = row == len(marks) - 1
        panel.annotate(  # on white, as lines cross it
            f"{name} {rate:.2g}",
            (rate, 0.98 - 0.09 * (0 if is_right else row)),
            xycoords=("data", "axes fraction"),
            xytext=(4 if is_right else -4, 0),
            textcoords="offset points",
            ha="left" if is_right else "right",
            va="top",
            color=colour,
            fontsize=9,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
        )


def print_readings(
    console: Console, tests: Sequence[RangeTest], readings: Mapping[str, Reading], changes: Mapping[str, str]
) -> None:
    """Print what range tests say, and the commands that try what they suggest.

    Args:
        console: where to print.
        tests: of each optimizer.
        readings: what they say, by optimizer.
        changes: the `-S` that each command needs besides, by optimizer.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for heading in ("optimizer", "steepest", "last stable", "suggestion"):
        table.add_column(heading, justify="left" if heading == "optimizer" else "right", no_wrap=True)
    for name, reading in readings.items():
        last = f"{reading.last_stable:.2g}" if math.isfinite(reading.last_stable) else f"above {HIGHEST:g}"
        table.add_row(name, f"{reading.steepest:.2g}", last, f"{reading.suggestion:.2g}")
    if readings:
        console.print(table)
    for test in tests:
        if test.optimizer not in readings:
            line = f"{test.optimizer}: the loss falls at no rate from {test.rates[0]:g} to {test.rates[-1]:g}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
    if readings:
        console.print("A grid around the suggestion:", highlight=False)
    for name, reading in readings.items():
        grid = ",".join(f"{rate:g}" for rate in reading.grid)
        line = f"  {COMMAND} {changes[name]}-S 'lr=[{grid}]'"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
