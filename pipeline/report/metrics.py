"""The figures that DVC shows: one row for the answer in metrics.json, and all of each scheduler in schedulers.json."""

import json
import math
import statistics
from pathlib import Path
from typing import Any

from pipeline.comparison.answer import Findings
from pipeline.comparison.groups import Group
from pipeline.comparison.questions import Comparison
from pipeline.comparison.statistics import standard_deviation
from pipeline.files import write_text
from pipeline.report.arms import arms, key, own
from pipeline.report.wording import headline
from pipeline.runs.params import Metric

FAILED = ("diverged", "dead")
"""How a run can end that counts as failed."""
DIGITS = 4
"""Significant digits of a figure in metrics.json; schedulers.json has all of them."""


def write_metrics(path: Path, findings: Findings) -> None:
    """Write what `dvc metrics show`, `dvc metrics diff` and `dvc exp show` read: the answer, as a row of short cells.

    A key that is also one in params.yaml would get the path of its file as a prefix in `dvc exp show`, so none is.
    """
    answer = findings.answer
    leader, baseline, metric = answer.leader, answer.baseline, answer.scale.metric
    found = next((each for question in own(findings) for each in question.comparisons if each.group is leader), None)
    is_rival = baseline is not None and baseline is not leader
    _write(
        path,
        {
            "verdict": answer.kind + ("?" if answer.is_provisional and answer.kind not in ("open", "nothing") else ""),
            "leader": key(leader, answer),
            **_gains(found),
            "mean": _mean(leader, metric),
            "against": _mean(baseline, metric) if baseline is not None and is_rival else None,
            "runs": answer.runs,
            "failed": sum(group.count(outcome) for group in answer.arms for outcome in FAILED),
        },
    )


def write_answer(path: Path, findings: Findings) -> None:
    """Write the answer in a sentence and the leader's name in schedulers.json, for `pipeline export`."""
    _write(path, {"headline": headline(findings), "leader": key(findings.answer.leader, findings.answer)})


def write_schedulers(path: Path, findings: Findings) -> None:
    """Write what is known of each scheduler, under its name (and its optimizer's, where there are several).

    `dvc metrics show` shows that if it is named; what is nested becomes columns with dotted names.
    """
    answer = findings.answer
    of_group = {id(arm.group): arm for arm in arms(findings)}
    schedulers: dict[str, dict[str, Any]] = {}
    for group in answer.arms:  # in the sweep's order, which does not change with the figures
        arm, figures = of_group[id(group)], schedulers.setdefault(key(group, answer), {})
        figures["place"] = arm.place
        if group.has_accuracy:
            figures["test_accuracy"] = statistics.fmean(group.figures("test_accuracy"))
        figures["test_loss"] = _finite(statistics.fmean(group.figures("test_loss")))
        if findings.units is not None:
            more = findings.units.figures(group.figures("test_loss"))
            figures |= {f"test_{name}": _finite(figure) for name, figure in more.items()}
        figures["sd"] = _finite(standard_deviation(group.figures(arm.metric)))
        figures["bound"] = _finite(arm.bound)
        if found := arm.comparison:
            figures["verdict"] = found.verdict
            figures["difference"] = _finite(found.gain)
            figures["low"] = _finite(found.low)
            figures["high"] = _finite(found.high)
            figures["p"] = _finite(found.p)
        figures["seeds"] = len(group.records)
        figures["lr"] = group.run.lr
        for outcome in FAILED:
            figures[outcome] = group.count(outcome)
    _write(path, schedulers)


def _gains(found: Comparison | None) -> dict[str, float | None]:
    """Return how much better the leader is than the baseline, and the interval of that; None where it is not known."""
    if found is None:
        return {"gain": None, "low": None, "high": None}
    return {name: _gain(getattr(found, name), found.metric) for name in ("gain", "low", "high")}


def _gain(difference: float, metric: Metric) -> float | None:
    """Return a difference in points of accuracy, or by how many per cent a loss is lower."""
    if not math.isfinite(difference):
        return None
    # A loss e^50 times as high is printed like one that is higher still.
    gain = 100 * difference if metric == "test_accuracy" else -100 * math.expm1(min(-difference, 50.0))
    return _rounded(round(gain, 2))


def _mean(group: Group, metric: Metric) -> float | None:
    """Return the mean of a metric over the seeds, an accuracy in per cent; None if it is not a number."""
    mean = statistics.fmean(group.figures(metric))
    return _rounded(100 * mean if metric == "test_accuracy" else mean)


def _rounded(figure: float) -> float | None:
    return float(f"{figure:.{DIGITS}g}") + 0.0 if math.isfinite(figure) else None  # + 0.0: there is no -0.0


def _finite(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None  # JSON has neither NaN nor infinity


def _write(path: Path, figures: dict[str, Any]) -> None:
    write_text(path, json.dumps(figures, indent=2) + "\n")
