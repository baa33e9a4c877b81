"""Forest plots, which show differences, their intervals, and a band that marks the margin."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pipeline.comparison.questions import Question, Scale
from pipeline.report.arms import Arm
from pipeline.report.phrases import name, number, size
from pipeline.report.style import COLOURS, GREY, INK, LINE, PLACES, name_rows
from pipeline.runs.metric import Metric

FAR = 4.0
"""An axis cuts off intervals beyond this multiple of the median interval end, so that the rest stays legible."""
FALLS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, *(1 - 0.1**n for n in range(3, 13)))
"""The relative decreases at which an axis of ratios can have a tick."""
RISES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, *(10.0**n for n in range(1, 13)))
"""The relative increases at which an axis of ratios can have a tick."""
INSIDE = 0.02
"""Distance of an arrow from the edge of the panel, as a share of the panel's width."""


@dataclass(frozen=True)
class Line:
    """A row of a forest plot: a difference and its interval, whose ends can be infinite."""

    name: str
    gain: float
    low: float
    high: float
    colour: str


def against_leader(arms: Sequence[Arm], scale: Scale) -> Figure:
    """Draw the difference of each arm from the leader, with its interval; ``arms`` begins with the leader."""
    lines = [Line(arm.name, arm.gain, arm.low, arm.high, PLACES[arm.place]) for arm in arms if not arm.is_leader]
    figure, (panel,) = _panels([len(lines)])
    # The answer depends only on the right ends of the intervals.
    # The left ends do not hold jointly for all arms, so the left part of each line is faint.
    _draw(panel, lines, scale, faint_left=True)
    panel.set_title(f"Each scheduler against the leader, {arms[0].name}", fontsize=10, loc="left")
    panel.set_xlabel(_quantity(scale.metric))
    present = {arm.place for arm in arms if not arm.is_leader}
    _legend(figure, [(word, colour) for word, colour in PLACES.items() if word in present], scale)
    return figure


def against_baseline(questions: Sequence[Question], scale: Scale) -> Figure:
    """Draw a panel for each question: each group's difference from the baseline, with the difference's interval."""
    figure, panels = _panels([len(question.comparisons) for question in questions])
    for panel, question in zip(panels, questions, strict=True):
        lines = [
            Line(name(row.group, question), row.gain, row.low, row.high, COLOURS[row.verdict])
            for row in sorted(question.comparisons, key=lambda comparison: -comparison.gain)
        ]
        _draw(panel, lines, scale)
        panel.set_title(question.title, fontsize=10, loc="left")
    panels[-1].set_xlabel(_quantity(scale.metric))
    present = {comparison.verdict for question in questions for comparison in question.comparisons}
    _legend(figure, [(word, colour) for word, colour in COLOURS.items() if word in present], scale)
    return figure


def _panels(rows: Sequence[int]) -> tuple[Figure, list[Axes]]:
    height = 0.25 * sum(rows) + 0.75 * len(rows) + 0.75
    figure, grid = plt.subplots(
        len(rows), 1, figsize=(6.6, height), height_ratios=[count + 0.5 for count in rows], squeeze=False,
        layout="constrained",
    )  # fmt: skip
    return figure, list(grid.flat)


def _draw(panel: Axes, lines: Sequence[Line], scale: Scale, faint_left: bool = False) -> None:
    left, right = _limits([end for line in lines for end in (line.low, line.gain, line.high)], scale.margin)
    inside = INSIDE * (right - left)
    panel.axvspan(-scale.margin, scale.margin, color=GREY, alpha=0.15, linewidth=0)
    panel.axvline(0, color=INK, linewidth=0.8)
    for row, line in enumerate(lines):
        if math.isfinite(line.low) and math.isfinite(line.high):
            low, high = max(line.low, left), min(line.high, right)
            middle = min(max(line.gain, low), high)
            panel.plot([low, middle], [row, row], color=line.colour, linewidth=2.2, alpha=0.3 if faint_left else 0.75)
            panel.plot([middle, high], [row, row], color=line.colour, linewidth=2.2, alpha=0.75)
        if left <= line.gain <= right:
            panel.plot(line.gain, row, "o", color=line.colour, markersize=5)
        else:
            marker, at = ("<", left + inside) if line.gain < left else (">", right - inside)
            panel.plot(at, row, marker, color=line.colour, markersize=6)
            side = 2 if line.gain < left else -2
            panel.text(
                at + side * inside, row, number(line.gain, scale.metric), fontsize=8, va="center_baseline",
                ha="left" if line.gain < left else "right",
            )  # fmt: skip
    panel.set_xlim(left, right)
    name_rows(panel, [line.name for line in lines])
    panel.set_ylim(len(lines) - 0.4, -0.6)
    sign = scale.metric.sign
    if scale.metric.is_share:
        panel.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda gain, _: f"{100 * sign * gain:+.3g}" if gain else "0"))
    else:
        ticks = _ratios(left, right, sign)
        panel.set_xticks(ticks, [f"{100 * math.expm1(sign * gain):+.3g}%" if gain else "0" for gain in ticks])
    panel.grid(axis="x", color=LINE)
    panel.set_axisbelow(True)


def _ratios(left: float, right: float, sign: int) -> list[float]:
    """Return the ticks of a logarithmic axis. Ticks are at round percentages that are not too close together.

    Args:
        left: lower end of the axis.
        right: upper end of the axis.
        sign: 1 if higher figures are better, else -1.
    """
    apart = (right - left) / 9
    ticks = [0.0]
    for changes in ([-fall for fall in FALLS], RISES):
        last = 0.0
        for change in changes:
            gain = sign * math.log1p(change)
            if left <= gain <= right and abs(gain - last) >= apart:
                ticks.append(gain)
                last = gain
    return sorted(ticks)


def _limits(ends: Iterable[float], margin: float) -> tuple[float, float]:
    """Return the limits of an axis that shows 0, the margin, and all interval ends except outliers."""
    known = np.array([end for end in ends if math.isfinite(end)] or [0.0])
    most = max(FAR * float(np.median(np.abs(known))), 3 * margin)
    left, right = max(float(known.min()), -most), min(float(known.max()), most)
    left, right = min(left, -1.3 * margin), max(right, 1.3 * margin)
    return left - 0.03 * (right - left), right + 0.03 * (right - left)


def _quantity(metric: Metric) -> str:
    if metric.is_share:
        return f"← worse · percentage points of {metric.title} · better →"
    return f"← worse · difference in {metric.title}, per cent · better →"


def _legend(figure: Figure, entries: Sequence[tuple[str, str]], scale: Scale) -> None:
    handles = [Line2D([], [], color=colour, marker="o", label=word) for word, colour in entries]
    band = Line2D([], [], color=GREY, alpha=0.25, linewidth=8, label=f"within {size(scale.margin, scale.metric)}")
    figure.legend(handles=[*handles, band], loc="outside lower left", ncols=5, frameon=False, fontsize=8.5,
                  columnspacing=1.2, handlelength=1.6)  # fmt: skip
