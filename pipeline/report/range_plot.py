"""The plot of range tests: the loss against the learning rate, with a panel for each optimizer."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.comparison.stability import RangeTest, Reading, curves
from pipeline.report.style import BLUE, GREEN, GREY, INK, ORANGE

TOP = 1.5
"""Upper end of the loss axis, as a multiple of the initial loss."""


def draw(tests: Sequence[RangeTest], readings: Mapping[str, Reading], title: str) -> Figure:
    """Draw the loss against the rate, with a panel for each optimizer.

    A panel shows a line for each seed and, if the loss falls, the median of the smoothed lines. ``readings`` maps
    each optimizer whose loss falls in its test to the result of that test.
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
    if falling := curves(test):
        smoothed = [losses for _, losses in falling]
        panel.plot(test.rates, np.median(smoothed, axis=0), color=GREEN, linewidth=2)
        highest = TOP * max(start for start, _ in falling)
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
        panel.annotate(  # on a white background, because lines cross the text
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
