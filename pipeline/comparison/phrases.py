"""Phrases that verdicts, tables and reports share: differences with their units, names, lists. No I/O."""

import math
from collections.abc import Sequence

from pipeline.comparison.groups import Group
from pipeline.comparison.questions import Comparison, Question
from pipeline.params import Metric

SHOWN = 3
"""Most names in a list; the rest are counted."""


def amount(difference: float, metric: Metric) -> str:
    """Return a difference of the metric with its unit: `1.38 points`, `0.0213`."""
    unit = " points" if metric == "test_accuracy" else ""
    return number(difference, metric) + unit


def number(difference: float, metric: Metric, signed: bool = False) -> str:
    """Return a difference of the metric; accuracies differ in percentage points."""
    sign = "+" if signed else ""
    return f"{100 * difference:{sign}.2f}" if metric == "test_accuracy" else f"{difference:{sign}.4f}"


def interval(found: Comparison) -> str:
    """Return the 95% interval of a difference: `-0.42 to +3.18`."""
    if math.isnan(found.test.low):
        return "unknown"
    low, high = (number(end, found.metric, signed=True) for end in (found.test.low, found.test.high))
    return f"{low} to {high}"


def words(metric: Metric) -> str:
    """Return the metric as it is read: `test accuracy`."""
    return metric.replace("_", " ")


def name(group: Group, question: Question) -> str:
    """Return the name of a group in a question: its scheduler or its optimizer, or both where both vary."""
    scheduler, optimizer = group.method
    if is_crossed(question):
        return f"{scheduler} with {optimizer}"
    return optimizer if question.subject == "optimizer" else scheduler


def is_crossed(question: Question) -> bool:
    """Return True if optimizers are compared under several schedulers."""
    return question.subject == "optimizer" and len({each.group.run.scheduler for each in question.comparisons}) > 1


def plural(count: int, noun: str) -> str:
    """Return a count with its noun: `1 seed`, `5 seeds`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def joined(parts: Sequence[str], link: str = "and") -> str:
    """Return a list in words: `step, wsd and rex`."""
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} {link} {parts[-1]}"


def shortened(parts: Sequence[str], link: str = "and") -> str:
    """Return a list in words with at most `SHOWN` of its parts: `step, wsd, rex and 4 more`."""
    if len(parts) <= SHOWN:
        return joined(parts, link)
    return joined([*parts[:SHOWN], f"{len(parts) - SHOWN} more"], link)
