"""Figures of a regression beside its loss: R^2, and RMSE in the target's own units. No I/O."""

import math

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import Group
from pipeline.data import Target


def cells(group: Group, target: Target) -> tuple[str, str]:
    """Return the mean R^2 and RMSE of a group as a table has them; empty where they are not known."""
    figures = target.figures(group.figures("test_loss"))
    texts = (f"{figures['r2']:.3f}", f"{figures['rmse']:#.4g}".rstrip("."))
    r2, rmse = (text if math.isfinite(each) else "" for each, text in zip(figures.values(), texts, strict=True))
    return r2, rmse


def units(findings: Findings) -> str:
    """Return what the losses of a regression are measured in, and how well the leader does; empty for other tasks."""
    target, answer = findings.target, findings.answer
    if target is None:
        return ""
    told = (
        f"Losses are mean squared errors of {target.name} in units of its standard deviation in the training split, "
        f"{target.deviation:.4g}."
    )
    r2, rmse = cells(answer.leader, target)
    if not rmse:
        return told
    explained = f"an R² of {r2} and " if r2 else ""
    return f"{told} {answer.leader.run.scheduler} has {explained}an RMSE of {rmse}, in the target's own units."
