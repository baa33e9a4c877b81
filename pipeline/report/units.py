"""Figures that are easier to read than a loss: R² and RMSE, or perplexity and bits per character. No I/O."""

import math
from collections.abc import Callable

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import Group
from pipeline.datasets import Language, Target
from pipeline.runs.metric import TEST_LOSS

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "r2": ("R²", lambda value: f"{value:.3f}"),
    "rmse": ("RMSE", lambda value: f"{value:#.4g}".rstrip(".")),
    "perplexity": ("perplexity", lambda value: f"{value:#.4g}".rstrip(".")),
    "bits_per_character": ("bits per character", lambda value: f"{value:.3f}"),
}
"""Maps the name of each figure to the title of its table column and to a function that formats the figure."""


def cells(group: Group, units: Target | Language | None) -> dict[str, str]:
    """Return a group's mean figures as table cells, keyed by title. If a figure is not finite, its cell is empty."""
    texts = {}
    for name, value in ({} if units is None else units.figures(group.figures(TEST_LOSS))).items():
        title, write = COLUMNS[name]
        texts[title] = write(value) if math.isfinite(value) else ""
    return texts


def sentence(findings: Findings) -> str:
    """Return the unit of the losses and the leader's figures as text, or an empty string if losses have no unit."""
    units, leader = findings.units, findings.answer.leader
    figures = cells(leader, units)
    match units:
        case None:
            return ""
        case Target():
            unit = (
                f"Losses are mean squared errors of {units.name}, in units of its standard deviation in the training "
                f"split, {units.deviation:.4g}."
            )
            explained = f"an R² of {figures['R²']} and " if figures["R²"] else ""
            has = f"{explained}an RMSE of {figures['RMSE']}, in the target's own units"
            is_known = bool(figures["RMSE"])
        case Language():
            unit = f"Losses are in nats a token; {units.bar()}."
            bits = figures["bits per character"]
            has = f"a perplexity of {figures['perplexity']}, and needs {bits} bits per character"
            is_known = bool(figures["perplexity"])
    return f"{unit} {leader.run.scheduler} has {has}." if is_known else unit
