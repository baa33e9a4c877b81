"""The verdict in words: what a sweep says of its schedulers, in two sentences. No I/O."""

import math
import statistics
from collections.abc import Sequence

from pipeline.comparison import LEVEL, Comparison, Confound, Group, Question, at_own_best, detectable, is_grid
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
    total = len(question.comparisons)
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
    total, against = len(question.comparisons), question.against
    better, worse, unresolved = question.those("better"), question.those("worse"), question.those("not resolved")
    parts = []
    metric = question.comparisons[0].metric.replace("_", " ")
    for word, those in (("better", better), ("worse", worse)):
        if those and total == 1:
            parts.append(f"{name(those[0].group, question)} is {word} than {against} in {metric}, {_by(those[0])}")
        elif those:
            share = f"{_share(len(those), total, question.of)} {word} than {against} in {metric}"
            parts.append(f"{share}: {_listed(those, question)}")
    if unresolved:
        if not parts:
            these = f"none of {total} {question.of}s" if total > 1 else name(unresolved[0].group, question)
            differs = f"{'could' if total > 1 else 'could not'} be told apart from {against} in {metric}"
            parts.append(f"{these} {differs}")
        else:
            parts.append(f"of {_number(len(unresolved))} it is not resolved whether they differ")
    return f"With {seeds} seeds{question.at}, {'; '.join(parts)}."


def _share(count: int, total: int, of: str) -> str:
    if count == total:
        return f"all {total} {of}s are"
    return f"{count} of {total} {of}s {'is' if count == 1 else 'are'}"


def _number(count: int) -> str:
    return "the other one" if count == 1 else f"the other {count}"


def _listed(those: Sequence[Comparison], question: Question) -> str:
    shown = [f"{name(each.group, question)} {_by(each)}" for each in those[:SHOWN]]
    more = [f"{len(those) - SHOWN} more"] if len(those) > SHOWN else []
    return _joined(shown + more)


def _by(found: Comparison) -> str:
    """How much better or worse one is that is known to be so: both ends of the interval are on the mean's side of 0."""
    low, high = (number(end, found.metric) for end in sorted((abs(found.low), abs(found.high))))
    return f"by {amount(abs(found.mean), found.metric)} (95% interval {low} to {high})"


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


def of_final_lr(found: Confound) -> str:
    """What the final LR explains; empty where it explains nothing that is sure."""
    if math.isnan(found.p) or found.p > 1 - LEVEL:
        return ""
    lower = "lower" if found.rho < 0 else "higher"
    return (
        f"Schedules that end with a {lower} rate do better here (rank correlation {abs(found.rho):.2f}, "
        f"p {found.p:.1g}): where a run ends explains much of these differences, whatever the way there."
    )
