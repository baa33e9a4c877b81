"""The picture of a race: who was trained until when, and why each left."""

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.comparison.answer import Answer
from pipeline.report.arms import Arm
from pipeline.report.phrases import amount, size
from pipeline.report.style import BLUE, GREEN, GREY, LINE, ORANGE

HEIGHT = 0.62
"""Of a bar, in rows."""


def race(arms: Sequence[Arm], answer: Answer) -> Figure:
    """Draw the seeds of each arm as a bar, the longest first; at its end stands why it has no more.

    The part of a bar that was trained when the arm was out, for the comparison with the baseline, is pale.
    """
    margin = size(answer.scale.margin, answer.scale.metric)
    words = {
        BLUE: "leader",
        GREEN: f"at most {margin} better than the leader",
        ORANGE: f"may be more than {margin} better",
        GREY: "not needed",
    }
    place = {id(group): number for number, group in enumerate(answer.arms)}
    rows = sorted(arms, key=lambda arm: (not arm.is_leader, -len(arm.group.records)))
    longest = int(answer.standing.held.max())
    figure, panel = plt.subplots(figsize=(9, 0.25 * len(rows) + 1.5), layout="constrained")
    for standing in answer.rounds:
        panel.axvline(int(standing.held.max()), color=LINE, linewidth=0.8, zorder=0)
    used = []
    for row, arm in enumerate(rows):
        colour, why = _why(arm, answer.scale.margin)
        used.append(colour)
        seeds = int(answer.standing.held[place[id(arm.group)]])
        kept = _seeds_in_the_set(answer, place[id(arm.group)])
        panel.barh(row, kept, HEIGHT, color=colour, alpha=0.8, linewidth=0)
        panel.barh(row, seeds - kept, HEIGHT, left=kept, color=colour, alpha=0.35, linewidth=0)
        panel.text(seeds + 0.012 * longest, row, f"{seeds}: {why}", fontsize=8.5, va="center_baseline")
    panel.set_xlim(0, 1.32 * longest)
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_yticks(range(len(rows)), [arm.name for arm in rows])
    panel.set_xticks([tick for tick in MaxNLocator(8, integer=True).tick_values(0, longest) if tick <= longest])
    panel.set_xlabel("seeds that count (thin lines: ends of rounds)", loc="left")
    panel.set_axisbelow(True)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)
    handles = [Patch(color=colour, alpha=0.8, label=word) for colour, word in words.items() if colour in used]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=8.5, handlelength=1.2)
    end = "until the question was answered" if answer.standing.is_answered else "until the budget was spent"
    title = f"Who was trained for how long: {answer.runs} runs in {len(answer.rounds)} rounds, {end}"
    panel.set_title(title, fontsize=10, loc="left")
    return figure


def _why(arm: Arm, margin: float) -> tuple[str, str]:
    """Return the colour of an arm, and why it was not trained on."""
    role = " (baseline)" if arm.is_baseline else ""
    if arm.is_leader:
        return BLUE, f"leads{role}"
    if arm.place == "not needed":
        return GREY, f"not needed{role}"
    colour = GREEN if arm.high <= margin else ORANGE
    return colour, f"at most {amount(max(arm.high, 0.0), arm.metric)} better{role}"


def _seeds_in_the_set(answer: Answer, arm: int) -> int:
    """Return how many seeds an arm had when it was ruled out, or has."""
    for standing in answer.rounds:
        if not standing.in_set[arm]:
            return int(standing.held[arm])
    return int(answer.standing.held[arm])
