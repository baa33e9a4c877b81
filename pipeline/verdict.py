"""The verdict in words: what a sweep says of its schedulers, in two sentences. No I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from pipeline.comparison import (
    LEVEL,
    Comparison,
    Confound,
    Group,
    Question,
    Verdict,
    at_own_best,
    detectable,
    is_grid,
)
from pipeline.params import Metric

RESOLVED: tuple[Verdict, ...] = ("better", "worse")
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
    count = _seeds(question)
    if count < 2:
        return (
            f"One seed cannot tell {question.of}s apart.",
            "Run more: two at the least, better five or ten (`-S seeds=5`).",
        )
    return _found(question, count), _advice(question)


def words(groups: Sequence[Group], questions: Sequence[Question], baseline: str) -> str:
    """All of it, a paragraph a question."""
    several = len(questions) > 1
    told = [" ".join([f"{question.title}:"] * several + [*sentences(question)]) for question in questions]
    return "\n\n".join(told) or of_nothing(groups, baseline)


def of_nothing(groups: Sequence[Group], baseline: str) -> str:
    """Why a sweep has no question, and what it says nevertheless."""
    names = list(dict.fromkeys(group.run.scheduler for group in groups))
    if baseline in names:
        why = f"the sweep has no scheduler but {baseline}, the baseline"
    else:
        more = f": `-S 'scheduler=[{','.join([baseline, *names])}]'` adds it" if len(names) <= SHOWN else ""
        why = f"{baseline}, the baseline, is not in the sweep{more}"
    told = f"There is nothing to compare: {why}."
    if is_grid(groups):
        best = [f"of {group.run.scheduler} is {group.run.lr:g}" for group in at_own_best(groups)]
        told += f" By validation the best base LR {_joined(best)}."
    return told


def of_power(question: Question) -> str:
    """What a sweep like this can see; empty where all is resolved, or nothing scatters."""
    deviations = [each.deviation for each in question.comparisons if each.deviation]
    if not deviations or not question.those("not resolved"):
        return ""
    total = question.comparisons[0].together
    smallest = detectable(_seeds(question), total) * statistics.median(deviations)
    comparisons = f"{total} comparisons" if total > 1 else "one comparison"
    return (
        f"A sweep like this, {comparisons} with {_seeds(question)} seeds, finds a difference of "
        f"{amount(smallest, question.comparisons[0].metric)} four times out of five, and smaller ones less often."
    )


def _seeds(question: Question) -> int:
    """How many there are of each."""
    return min(min(len(each.group.records), len(each.other.records)) for each in question.comparisons)


def _found(question: Question, seeds: int) -> str:
    against = f"{question.against} in {question.comparisons[0].metric.replace('_', ' ')}"
    if _is_crossed(question):
        parts = [_under(*each, against) for each in _by_optimizer(question).items()]
    else:
        parts = _those(question, against)
    return f"Over {seeds} seeds{question.at}, {'; '.join(parts)}."


def _those(question: Question, against: str) -> list[str]:
    """What has been found of schedulers, or of optimizers under one scheduler."""
    total, unresolved = len(question.comparisons), question.those("not resolved")
    parts = []
    for word in RESOLVED:
        those = question.those(word)
        if those and total == 1:
            parts.append(f"{name(those[0].group, question)} is {word} than {against}, {_by(those[0])}")
        elif those:
            are = f"{_share(len(those), total, question.of)} {'is' if len(those) == 1 else 'are'}"
            listed = _shortened([f"{name(each.group, question)} {_by(each)}" for each in those])
            parts.append(f"{are} {word} than {against}: {listed}")
    if unresolved and parts:
        parts.append(_open(len(unresolved)))
    elif unresolved:
        only = f"{name(unresolved[0].group, question)} could not"
        none = f"neither {question.of} could" if total == 2 else f"none of {total} {question.of}s could"
        these = only if total == 1 else none
        parts.append(f"{these} be told apart from {against}")
    return parts


def _is_crossed(question: Question) -> bool:
    """Whether optimizers are compared under several schedulers."""
    return question.of == "optimizer" and len({each.group.run.scheduler for each in question.comparisons}) > 1


def _by_optimizer(question: Question) -> dict[str, Question]:
    """The same of each optimizer, by its name."""
    names = dict.fromkeys(each.group.run.optimizer for each in question.comparisons)
    of_each = {
        optimizer: [each for each in question.comparisons if each.group.run.optimizer == optimizer]
        for optimizer in names
    }
    return {optimizer: replace(question, comparisons=those) for optimizer, those in of_each.items()}


def _under(optimizer: str, question: Question, against: str) -> str:
    """What has been found of an optimizer under several schedulers."""
    total, unresolved = len(question.comparisons), question.those("not resolved")
    if len(unresolved) == total:
        return f"{optimizer} could not be told apart from {against} under any of {total} schedulers"
    parts: list[str] = []
    for word in RESOLVED:
        if found := question.those(word):
            listed = _shortened([f"{each.group.run.scheduler} {_by(each)}" for each in found])
            than = f"{optimizer} is {word} than {against}" if not parts else word
            parts.append(f"{than} under {_share(len(found), total, 'scheduler')}: {listed}")
    return "; ".join(parts + [_open(len(unresolved))] * bool(unresolved))


def _share(count: int, total: int, of: str) -> str:
    if count == total:
        return f"both {of}s" if total == 2 else f"all {total} {of}s"
    return f"{count} of {total} {of}s"


def _open(count: int) -> str:
    these = "the other one" if count == 1 else f"the other {count}"
    return f"of {these} it is not resolved whether they differ"


def _shortened(names: Sequence[str]) -> str:
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return _joined([*names[:SHOWN], *more])


def _by(found: Comparison) -> str:
    """How much better or worse one is that is known to be so: both ends of the interval are on the mean's side of 0."""
    low, high = (number(end, found.metric) for end in sorted((abs(found.low), abs(found.high))))
    return f"by {amount(abs(found.mean), found.metric)} (95% interval {low} to {high})"


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1])] * (len(parts) > 1) + [parts[-1]])


def _advice(question: Question) -> str:
    better, unresolved = question.those("better"), question.those("not resolved")
    against = question.against
    if _is_crossed(question):
        return " ".join(_advice_on(*each) for each in _by_optimizer(question).items())
    if better:
        first = name(better[0].group, question)
        rest = (
            f"; {'the other that is' if len(better) == 2 else 'the others that are'} better may be as good"
            if len(better) > 1
            else ""
        )
        most = ", which gains most" if len(question.comparisons) > 1 else ""
        return f"Use {first}{most}{rest}."
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


def _advice_on(optimizer: str, question: Question) -> str:
    """What to do with an optimizer that is compared with another under several schedulers."""
    better = question.those("better")
    if not better:
        return f"Keep {question.against}: {optimizer} is not known to be better."
    if len(better) == len(question.comparisons):
        return f"Use {optimizer}."
    return f"Under {_shortened([each.group.run.scheduler for each in better])} use {optimizer}."


def of_final_lr(found: Confound) -> str:
    """What the final LR explains; empty where it explains nothing that is sure."""
    if math.isnan(found.p) or found.p > 1 - LEVEL:
        return ""
    lower = "lower" if found.rho < 0 else "higher"
    return (
        f"Schedules that end with a {lower} rate do better here (rank correlation {abs(found.rho):.2f}, "
        f"p {found.p:.1g}): where a run ends explains much of these differences, whatever the way there."
    )
