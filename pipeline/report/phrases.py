"""Functions that format differences, names and lists for the answer, tables and pictures. No I/O."""

import math
from collections.abc import Sequence

from pipeline.comparison.groups import Group
from pipeline.comparison.questions import Comparison, Question
from pipeline.comparison.statistics import standard_deviation
from pipeline.runs.metric import Metric

SHOWN = 3
"""Maximum number of names to show in a list; any further names are only counted."""
UNKNOWN = "?"
"""Shown instead of a bound or an interval that is infinite because there are too few seeds."""


def amount(difference: float, metric: Metric) -> str:
    """Return the size of a difference between comparable figures, with its unit, such as `1.38 points` or `12%`.

    For losses, 12% means that the lower loss is 12% below the higher loss.
    """
    if metric.is_share:
        return f"{abs(100 * difference):.2f} points"
    return f"{_percent(-100 * math.expm1(-abs(difference)))}%"


def size(margin: float, metric: Metric) -> str:
    """Return a margin with its unit, in the same form as in params.yaml, such as `0.5 points` or `10%`."""
    return f"{100 * margin:.4g} points" if metric.is_share else f"{-100 * math.expm1(-margin):.4g}%"


def number(difference: float, metric: Metric) -> str:
    """Return a signed difference, in points of accuracy or in per cent of the other loss, such as `+1.38` or `-12%`."""
    if math.isinf(difference):
        return UNKNOWN
    if metric.is_share:
        return f"{round(100 * metric.sign * difference, 2) + 0.0:+.2f}"  # + 0.0 turns -0.0 into 0.0
    change = 100 * math.expm1(min(metric.sign * difference, 50.0))
    return ("+" if change >= 0 else "-") + f"{_percent(abs(change))}%"


def _percent(share: float) -> str:
    if share < 10:
        return f"{share:.1f}"
    if share >= 1e6:
        return f"{share:.0e}"
    return f"{share:.3g}" if share < 999.5 else f"{share:,.0f}"


def difference(comparison: Comparison | None) -> str:
    """Return the mean difference of a comparison, such as `+1.38`, or an empty string for None."""
    return "" if comparison is None else number(comparison.gain, comparison.metric)


def interval(comparison: Comparison | None) -> str:
    """Return the interval of a difference, such as `-0.42 to +3.18`, or an empty string for None."""
    if comparison is None:
        return ""
    ends = [comparison.low, comparison.high]
    if any(map(math.isinf, ends)):
        return UNKNOWN
    return " to ".join(number(end, comparison.metric) for end in ends[:: comparison.metric.sign])


def mean_and_deviation(group: Group, metric: Metric) -> tuple[str, str]:
    """Return the mean and the standard deviation of a metric as text, in per cent for a share such as an accuracy.

    If a figure is not finite, its text is empty.
    """
    mean, deviation = group.mean(metric), standard_deviation(group.figures(metric))
    if metric.is_share:
        texts = f"{100 * mean:.2f}", f"{100 * deviation:.2f}"
    else:
        texts = f"{mean:#.4g}".rstrip("."), f"{deviation:.2g}"
    return texts[0] if math.isfinite(mean) else "", texts[1] if math.isfinite(deviation) else ""


def failures(group: Group) -> str:
    """Return how many runs of a group diverged or died, as text, or an empty string if no run failed."""
    counts = {outcome: group.count(outcome) for outcome in ("diverged", "dead")}
    return ", ".join(f"{count} of {len(group.records)} {outcome}" for outcome, count in counts.items() if count)


def name(group: Group, question: Question) -> str:
    """Return the name of a group in a question: the scheduler, the optimizer, or both if both vary."""
    scheduler, optimizer = group.method
    if is_crossed(question):
        return f"{scheduler} with {optimizer}"
    return optimizer if question.subject == "optimizer" else scheduler


def is_crossed(question: Question) -> bool:
    """Return True if the question compares optimizers under several schedulers."""
    schedulers = {comparison.group.run.scheduler for comparison in question.comparisons}
    return question.subject == "optimizer" and len(schedulers) > 1


def joined(parts: Sequence[str], link: str = "and") -> str:
    """Return a list as text, such as `step, wsd and rex`."""
    if len(parts) == 1:
        return parts[0]
    return f"{', '.join(parts[:-1])} {link} {parts[-1]}"


def are(count: int) -> str:
    """Return the verb that goes with a count: `is` or `are`."""
    return "is" if count == 1 else "are"


def shortened(parts: Sequence[str]) -> str:
    """Return a list as text that shows at most `SHOWN` parts, such as `step, wsd, rex and 4 more`."""
    if len(parts) <= SHOWN:
        return joined(parts)
    return joined([*parts[:SHOWN], f"{len(parts) - SHOWN} more"])
