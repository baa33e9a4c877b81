"""The verdict in words: what a sweep says of its schedulers, in two sentences. No I/O."""

import math
from collections.abc import Sequence

from pipeline.comparison import LEVEL, Comparison, Confound, Group, Question
from pipeline.params import Metric

SHOWN = 3
"""Names in a sentence; the others are counted."""


def amount(difference: float, metric: Metric) -> str:
    """A difference of the metric, with its unit."""
    return number(difference, metric) + " points" * (metric == "test_accuracy")


def number(difference: float, metric: Metric, signed: bool = False) -> str:
    """A difference of the metric: of accuracies in percentage points."""
    sign = "+" if signed else ""
    return f"{100 * difference:{sign}.2f}" if metric == "test_accuracy" else f"{difference:{sign}.4f}"


def interval(found: Comparison) -> str:
    """The 95% interval of a difference."""
    if math.isnan(found.low):
        return "not known"
    low, high = (number(end, found.metric, signed=True) for end in (found.low, found.high))
    return f"{low} to {high}"


def name(group: Group, question: Question) -> str:
    """What is compared, or compared with: a scheduler, or an optimizer; both, where there are several of the other."""
    scheduler, optimizer = group.kind
    if len({each.other.name for each in question.comparisons}) > 1:
        return f"{scheduler} with {optimizer}"
    return optimizer if question.of == "optimizer" else scheduler


def sentences(question: Question) -> tuple[str, str]:
    """What has been found, and what to do."""
    count = min(min(len(each.group.records), len(each.other.records)) for each in question.comparisons)
    if count < 2:
        return (
            f"One seed cannot tell {question.of}s apart.",
            "Run more: two at the least, better five or ten (`-S seeds=5`).",
        )
    return _found(question, count), _advice(question)


def words(questions: Sequence[Question]) -> str:
    """All of it, a paragraph a question."""
    several = len(questions) > 1
    told = [" ".join([f"{question.title}:"] * several + [*sentences(question)]) for question in questions]
    return "\n\n".join(told) or "There is nothing to compare."


def _found(question: Question, seeds: int) -> str:
    total, against = len(question.comparisons), question.against
    better, worse, unresolved = question.those("better"), question.those("worse"), question.those("not resolved")
    parts = []
    for word, those in (("better", better), ("worse", worse)):
        if those:
            parts.append(f"{_share(len(those), total, question.of)} {word} than {against}: {_listed(those, question)}")
    if unresolved:
        if not parts:
            these = f"none of {total} {question.of}s" if total > 1 else name(unresolved[0].group, question)
            differs = f"{'could' if total > 1 else 'could not'} be told apart from {against}"
            parts.append(f"{these} {differs}")
        else:
            parts.append(f"of {_number(len(unresolved))} it is not resolved whether they differ")
    return f"With {seeds} seeds{question.at}, {'; '.join(parts)}."


def _share(count: int, total: int, of: str) -> str:
    if count == total:
        return f"all {total} {of}s are" if total > 1 else f"the {of} is"
    return f"{count} of {total} {of}s {'is' if count == 1 else 'are'}"


def _number(count: int) -> str:
    return "the other one" if count == 1 else f"the other {count}"


def _listed(those: Sequence[Comparison], question: Question) -> str:
    shown = [
        f"{name(each.group, question)} by {amount(abs(each.mean), each.metric)} (95% interval {interval(each)})"
        for each in those[:SHOWN]
    ]
    more = [f"{len(those) - SHOWN} more"] if len(those) > SHOWN else []
    return _joined(shown + more)


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1])] * (len(parts) > 1) + [parts[-1]])


def _advice(question: Question) -> str:
    better, unresolved = question.those("better"), question.those("not resolved")
    against = question.against
    if better:
        first = name(better[0].group, question)
        rest = (
            f"; {'the other that is' if len(better) == 2 else 'the others that are'} better may be as good"
            if len(better) > 1
            else ""
        )
        return f"Use {first}, which gains most{rest}."
    ahead = [each for each in unresolved if each.gain > 0]
    if not ahead:
        return f"Keep {against}: nothing is ahead of it."
    lead = ahead[0]
    gain = f"the {amount(lead.gain, lead.metric)} that {name(lead.group, question)} is ahead by"
    takes = (
        "are too little to resolve"
        if lead.needed is None
        else f"would take about {lead.needed} seeds to resolve (`-S seeds={lead.needed}`)"
    )
    return f"Keep {against}, or take what you like: {gain} {takes}."


def of_final_lr(found: Confound) -> str:
    """What the final LR explains; empty where it explains nothing that is sure."""
    if math.isnan(found.p) or found.p > 1 - LEVEL:
        return ""
    lower = "lower" if found.rho < 0 else "higher"
    return (
        f"Schedules that end with a {lower} rate do better here (rank correlation {abs(found.rho):.2f}, "
        f"p {found.p:.1g}): where a run ends explains much of these differences, whatever the way there."
    )
