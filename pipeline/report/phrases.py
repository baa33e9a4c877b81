"""Phrases that verdicts, tables and reports share: differences with their units, names, lists. No I/O."""

import math
from collections.abc import Sequence

from pipeline.comparison.groups import Group
from pipeline.comparison.questions import Comparison, Question
from pipeline.runs.params import Metric

SHOWN = 3
"""Most names in a list; the rest are counted."""


def amount(difference: float, metric: Metric) -> str:
    """Return the size of a difference of `pipeline.comparison.groups.figures` with its unit: `1.38 points`, `12%`.

    Of two losses that differ by 12%, the lower is 12% lower than the higher.
    """
    if metric == "test_accuracy":
        return f"{abs(100 * difference):.2f} points"
    return f"{_percent(-100 * math.expm1(-abs(difference)))}%"


def size(margin: float, metric: Metric) -> str:
    """Return the smallest difference worth having, as params.yaml gives it: `0.5 points`, `10%`."""
    return f"{100 * margin:.4g} points" if metric == "test_accuracy" else f"{-100 * math.expm1(-margin):.4g}%"


def number(difference: float, metric: Metric) -> str:
    """Return a difference for a table: points of accuracy, `+1.38`; or the loss against the other's, `-12%`."""
    if math.isinf(difference):
        return "?"
    if metric == "test_accuracy":
        return f"{round(100 * difference, 2) + 0.0:+.2f}"  # + 0.0: there is no -0.00
    change = 100 * math.expm1(min(-difference, 50.0))
    return ("+" if change >= 0 else "-") + f"{_percent(abs(change))}%"


def _percent(share: float) -> str:
    if share < 10:
        return f"{share:.1f}"
    if share >= 1e6:
        return f"{share:.0e}"
    return f"{share:.3g}" if share < 999.5 else f"{share:,.0f}"


def interval(found: Comparison) -> str:
    """Return the interval of a difference: `-0.42 to +3.18`."""
    ends = (found.low, found.high) if found.metric == "test_accuracy" else (found.high, found.low)
    return (
        "unknown"
        if math.isinf(found.low) or math.isinf(found.high)
        else " to ".join(number(end, found.metric) for end in ends)
    )


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
