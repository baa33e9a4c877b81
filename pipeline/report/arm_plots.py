"""Draw pictures with a row for each arm: `ranking` shows its results, and `race` shows how many seeds it got."""

import statistics
from collections.abc import Mapping, Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.comparison.answer import Answer
from pipeline.report.arms import Arm
from pipeline.report.panels import has_span
from pipeline.report.phrases import amount, size
from pipeline.report.style import BLUE, GREEN, GREY, INK, LINE, ORANGE, name_rows
from pipeline.schedules import top

BAR = 0.62
"""Height of a bar, in rows."""


def ranking(rows: Sequence[Arm], colours: Mapping[tuple[str, str], str]) -> Figure:
    """Draw a row for each arm, with its LR curve, the metric of each seed, and the mean over the seeds.

    ``colours`` maps each pair of scheduler and optimizer to a colour.
    """
    figure = plt.figure(figsize=(9, 0.34 * len(rows) + 1.3), layout="constrained")
    grid = figure.add_gridspec(len(rows), 2, width_ratios=[1, 4], hspace=0)
    dots = figure.add_subplot(grid[:, 1])
    longest = [max((record.epochs for record in arm.group.records), key=len) for arm in rows]
    highest = top([epoch.lr for epochs in longest for epoch in epochs])
    metric = rows[0].metric
    shown = [[100 * value if metric.is_share else value for value in arm.group.figures(metric)] for arm in rows]
    for row, (arm, epochs, values) in enumerate(zip(rows, longest, shown, strict=True)):
        colour = colours[arm.group.method]
        curve = figure.add_subplot(grid[row, 0])
        edges = [0, *(epoch.epoch for epoch in epochs)]
        curve.stairs([epoch.lr for epoch in epochs], edges, baseline=None, color=colour, linewidth=1.4)
        curve.set(xlim=(0, edges[-1]), ylim=(-0.12 * highest, 1.18 * highest))
        curve.axis("off")
        dots.plot(values, [row] * len(values), "o", color=colour, alpha=0.3, markersize=5, markeredgewidth=0)
        dots.plot(statistics.fmean(values), row, "|", color=colour, markersize=15, markeredgewidth=2.6)
        if arm.is_baseline:
            dots.axvline(statistics.fmean(values), color=INK, linewidth=0.8, linestyle=":", zorder=0)
    name_rows(dots, [arm.name for arm in rows])
    dots.set_ylim(len(rows) - 0.5, -0.5)
    dots.set_xlabel(f"{metric.title}{', %' if metric.is_share else ''} (dot: one seed; bar: mean)")
    if not metric.is_share and has_span(shown):
        dots.set_xscale("log")
    dots.grid(axis="y", color=LINE)
    dots.set_axisbelow(True)
    run = rows[0].group.run
    title = f"{run.task}, {run.epochs} epochs: the learning rate over the run, and its result"
    figure.suptitle(title, x=0.01, ha="left", fontsize=12)
    return figure


def race(arms: Sequence[Arm], answer: Answer) -> Figure:
    """Draw a bar for each arm, labelled with its number of seeds and the reason why it got no more seeds.

    The leader comes first, followed by the other arms in descending order of their number of seeds. A baseline can get
    more seeds after it is ruled out, because the leader is still compared with it. The pale part of its bar shows these
    later seeds.
    """
    margin = size(answer.scale.margin, answer.scale.metric)
    meanings = {
        BLUE: "leader",
        GREEN: f"at most {margin} better than the leader",
        ORANGE: f"may be more than {margin} better",
        GREY: "not needed",
    }
    place = {id(group): number for number, group in enumerate(answer.arms)}
    rows = sorted(arms, key=lambda arm: (not arm.is_leader, -len(arm.group.records)))
    longest = int(answer.standing.seeds.max())
    figure, panel = plt.subplots(figsize=(9, 0.25 * len(rows) + 1.5), layout="constrained")
    for standing in answer.rounds:
        panel.axvline(int(standing.seeds.max()), color=LINE, linewidth=0.8, zorder=0)
    used = []
    for row, arm in enumerate(rows):
        colour, reason = _reason(arm, answer.scale.margin)
        used.append(colour)
        seeds = int(answer.standing.seeds[place[id(arm.group)]])
        in_set = _seeds_in_set(answer, place[id(arm.group)])
        panel.barh(row, in_set, BAR, color=colour, alpha=0.8, linewidth=0)
        panel.barh(row, seeds - in_set, BAR, left=in_set, color=colour, alpha=0.35, linewidth=0)
        panel.text(seeds + 0.012 * longest, row, f"{seeds}: {reason}", fontsize=8.5, va="center_baseline")
    panel.set_xlim(0, 1.32 * longest)
    name_rows(panel, [arm.name for arm in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_xticks([tick for tick in MaxNLocator(8, integer=True).tick_values(0, longest) if tick <= longest])
    panel.set_xlabel("seeds that count (thin lines: ends of rounds)", loc="left")
    panel.set_axisbelow(True)
    handles = [Patch(color=colour, alpha=0.8, label=word) for colour, word in meanings.items() if colour in used]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5, handlelength=1.2)
    end = "until the question was answered" if answer.standing.is_answered else "until the budget was spent"
    title = f"Who was trained for how long: {answer.runs} runs in {len(answer.rounds)} rounds, {end}"
    panel.set_title(title, fontsize=10, loc="left")
    return figure


def _reason(arm: Arm, margin: float) -> tuple[str, str]:
    """Return the colour of an arm's bar, and the reason why the arm got no more seeds."""
    role = " (baseline)" if arm.is_baseline else ""
    if arm.is_leader:
        return BLUE, f"leads{role}"
    if arm.place == "not needed":
        return GREY, f"not needed{role}"
    colour = GREEN if arm.high <= margin else ORANGE
    return colour, f"at most {amount(max(arm.high, 0.0), arm.metric)} better{role}"


def _seeds_in_set(answer: Answer, arm: int) -> int:
    """Return the number of seeds that an arm had when it was ruled out, or all of its seeds if it was not ruled out."""
    standings = (standing for standing in answer.rounds if not standing.in_set[arm])
    return int(next(standings, answer.standing).seeds[arm])
