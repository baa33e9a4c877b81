"""Figures beside a loss that are easier to read: R^2 and RMSE, or perplexity of a language model. No I/O."""

import math
from collections.abc import Callable

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import Group
from pipeline.datasets import Language, Target

COLUMNS: dict[str, tuple[str, Callable[[float], str]]] = {
    "r2": ("R²", lambda value: f"{value:.3f}"),
    "rmse": ("RMSE", lambda value: f"{value:#.4g}".rstrip(".")),
    "perplexity": ("perplexity", lambda value: f"{value:#.4g}".rstrip(".")),
    "bits_per_character": ("bits per character", lambda value: f"{value:.3f}"),
}
"""The title of each figure in a table, and how it is written."""


def cells(group: Group, units: Target | Language | None) -> dict[str, str]:
    """Return the mean figures of a group as a table has them, by their titles; empty where they are not known."""
    found = {}
    for name, value in ({} if units is None else units.figures(group.figures("test_loss"))).items():
        title, write = COLUMNS[name]
        found[title] = write(value) if math.isfinite(value) else ""
    return found


def sentence(findings: Findings) -> str:
    """Return what losses are measured in, and how well the leader does; empty for tasks with classes."""
    units, leader = findings.units, findings.answer.leader
    figures = cells(leader, units)
    match units:
        case None:
            return ""
        case Target():
            told = (
                f"Losses are mean squared errors of {units.name} in units of its standard deviation in the training "
                f"split, {units.deviation:.4g}."
            )
            explained = f"an R² of {figures['R²']} and " if figures["R²"] else ""
            has = f"{explained}an RMSE of {figures['RMSE']}, in the target's own units"
            is_known = bool(figures["RMSE"])
        case Language():
            told = f"Losses are in nats a token; {units.bar()}."
            bits = figures["bits per character"]
            has = f"a perplexity of {figures['perplexity']}, and needs {bits} bits per character"
            is_known = bool(figures["perplexity"])
    return f"{told} {leader.run.scheduler} has {has}." if is_known else told
