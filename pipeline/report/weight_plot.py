"""Draw the picture that compares each layer's weights before and after training."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.report.style import GREEN, GREY, name_rows
from pipeline.runs.records import Record
from pipeline.training.layer_statistics import BINS, Layer

MOST_LAYERS = 24
"""The maximum number of layers in the picture. A deep network can have hundreds of layers."""
TITLE, LABEL = 11, 20
"""The number of letters per inch in the title, and the number of letters that fit above a layer's panel."""


def parameters(runs: Mapping[str, tuple[Record, Sequence[Layer]]]) -> Figure:
    """Draw histograms of each layer's weights before training (grey) and after training (green), one row per run.

    Args:
        runs: maps the name of each row to a run's record and layers; all runs must have the same network.
    """
    record, layers = next(iter(runs.values()))
    columns = _shown(layers)
    size = width, _ = 1.2 + 1.5 * len(columns), 0.36 * len(runs) + 1.2
    figure, axes = plt.subplots(1, len(columns), figsize=size, squeeze=False, layout="constrained")
    for column, panel in zip(columns, axes[0], strict=True):
        of_runs = [layers_of_run[column] for _, layers_of_run in runs.values()]
        for row, layer in enumerate(of_runs):
            edges = np.linspace(layer.low, layer.high, BINS + 1)
            for weights, colour, alpha in ((layer.start, GREY, 0.5), (layer.end, GREEN, 0.6)):
                heights = np.array(weights.histogram) / (max(weights.histogram) or 1)
                panel.stairs(row - 0.9 * heights, edges, baseline=row, fill=True, color=colour, alpha=alpha, zorder=row)
        panel.set_xlim(*_weight_limits(of_runs))
        shape = " x ".join(map(str, layers[column].shape))
        panel.set_title(f"{_broken(layers[column].name)}\n{shape}", fontsize=8, loc="left")
        panel.set_ylim(len(runs) - 0.9, -1)
        name_rows(panel, list(runs) if panel is axes[0][0] else [])
        panel.xaxis.set_major_locator(MaxNLocator(3))
        panel.tick_params(axis="x", labelsize=8)
    title = f"{record.run.task}: weights of each scheduler's best run before (grey) and after (green) training"
    if len(columns) < len(layers):
        title += f"; {len(columns)} of {len(layers)} layers; parameters.csv has all"
    figure.suptitle(fill(title, int(TITLE * width)), x=0.01, ha="left", fontsize=12)
    return figure


def _broken(name: str) -> str:
    """Return the name of a layer, with line breaks after dots if the name is wider than the layer's panel."""
    lines = [""]
    for part in name.split("."):
        if lines[-1] and len(lines[-1]) + len(part) >= LABEL:
            lines.append("")
        lines[-1] += f"{part}."
    return "\n".join(lines)[:-1]


def _shown(layers: Sequence[Layer]) -> list[int]:
    """Return the indices of the layers to show: all or, for a deep network, some evenly spaced matrices and kernels."""
    if len(layers) <= MOST_LAYERS:
        return list(range(len(layers)))
    large = [number for number, layer in enumerate(layers) if len(layer.shape) > 1] or list(range(len(layers)))
    places = np.linspace(0, len(large) - 1, min(MOST_LAYERS, len(large))).round().astype(int)
    return [large[place] for place in places]


def _weight_limits(layers: Sequence[Layer]) -> tuple[float, float]:
    """Return axis limits that span at most twice the median range, so outliers do not squeeze the other histograms."""
    low, high = np.median([(layer.low, layer.high) for layer in layers], axis=0)
    half = (high - low) / 2 or 0.5
    lowest, highest = min(layer.low for layer in layers), max(layer.high for layer in layers)
    left, right = max(float(low - half), lowest), min(float(high + half), highest)
    room = 0.0 if left < right else 0.5 * abs(left) or 0.5  # all weights are the same
    return left - room, right + room
