"""The verdict in words: what a sweep says of its schedulers, in two sentences. No I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from pipeline.comparison.questions import (
    LEVEL,
    Comparison,
    Confound,
    Group,
    Question,
    Verdict,
    at_own_best,
    detectable,
    is_grid,
    ranked,
)
from pipeline.params import Metric

COMMAND = "uv run dvc exp run"
AFFORDABLE = 100
"""Seeds that one might train."""
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
    if _is_crossed(question):
        return f"{scheduler} with {optimizer}"
    return optimizer if question.of == "optimizer" else scheduler


def sentences(question: Question) -> tuple[str, str]:
    """What has been found, and what to do."""
    count = _seeds(question)
    if count < 2:
        return (
            f"One seed cannot tell {question.of}s apart.",
            f"Run more, two at the least, better five or ten: `{COMMAND} -S seeds=5`.",
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
        more = f": `{COMMAND} -S 'scheduler=[{','.join([baseline, *names])}]'` adds it" if len(names) <= SHOWN else ""
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
    first = question.comparisons[0]
    smallest = detectable(_seeds(question), first.together) * statistics.median(deviations)
    difference = amount(smallest, first.metric)
    if any(question.those(word) for word in RESOLVED):
        return (
            "What is called better or worse stands; among the rest, a true difference below about "
            f"{difference} may well have gone unnoticed."
        )
    comparisons = f"{first.together} comparisons" if first.together > 1 else "one comparison"
    reached = statistics.fmean(first.other.of(first.metric))
    ceiling = ""
    if first.metric == "test_accuracy" and reached + smallest > 1:
        ceiling = f", and {question.against} is at {100 * reached:.2f}% already: no {question.of} can gain as much"
    return (
        f"With {comparisons} and {_seeds(question)} seeds, only a true difference of {difference} or more would be "
        f"found at least four times out of five{ceiling}. Not resolved does not mean equal."
    )


def of_runs(groups: Sequence[Group]) -> str:
    """How often what was trained, and what a seed is."""
    schedulers, optimizers, rates = (
        list(dict.fromkeys(each)) for each in zip(*((*group.kind, group.run.lr) for group in groups), strict=True)
    )
    at = f"a base LR of {rates[0]:g}" if len(rates) == 1 else f"base LRs of {_joined([f'{rate:g}' for rate in rates])}"
    count = len(groups[0].records)
    return (
        f"{len(schedulers)} scheduler{'s' * (len(schedulers) > 1)}, with {_joined(optimizers)} at {at}, trained with "
        f"{count} seed{'s' * (count > 1)} each: a seed is the first weights and the order of the batches, the same "
        "under each scheduler."
    )


def of_best(groups: Sequence[Group], metric: Metric) -> str:
    """Which group of all has the best mean, where no question compares all of them."""
    best = ranked(groups, metric)[0]
    reached = number(statistics.fmean(best.of(metric)), metric) + "%" * (metric == "test_accuracy")
    return (
        f"The best mean {metric.replace('_', ' ')} is that of {best.name}, {reached}, which alone does not make it "
        "better than the others. What can be said:"
    )


def of_base_lr(groups: Sequence[Group]) -> str:
    """That the base LR may decide; empty where there is a grid, which shows it."""
    if is_grid(groups):
        return ""
    by_rate: dict[float, list[str]] = {}
    for group in groups:
        by_rate.setdefault(group.run.lr, []).append(group.name)
    if len(by_rate) == 1:
        (rate,) = by_rate
        grid = ",".join(f"{times * rate:.3g}" for times in (1 / 3, 1, 3))
        return (
            f"First, though: {rate:g} may not be a good base LR, and another may change this answer. "
            f"`{COMMAND} -S 'lr=[{grid}]'` tries three, and compares each scheduler at its own best of them."
        )
    commonest = max(by_rate, key=lambda rate: len(by_rate[rate]))
    others = [f"{_shortened(names)} has {rate:g}" for rate, names in by_rate.items() if rate != commonest]
    grid = ",".join(f"{rate:g}" for rate in sorted(by_rate))
    return (
        f"First, though: base LRs differ, and a difference may be theirs: {_joined(others)}, the others {commonest:g}. "
        f"`{COMMAND} -S 'lr=[{grid}]'` gives each scheduler each of them."
    )


def next_step(questions: Sequence[Question]) -> str:
    """The command that would settle what is ahead and not resolved; empty where that is nothing, or hopeless."""
    leads = [found[0] for question in questions if (found := _ahead(question)) and not question.those("better")]
    open_ones = {lead.needed: lead for lead in leads if lead.needed and lead.needed <= AFFORDABLE}
    if not open_ones:
        return ""
    needed, lead = max(open_ones.items(), key=lambda each: each[0])
    return (
        f"To settle whether {lead.group.name} is better than {lead.other.name}: `{COMMAND} -S seeds={needed}`. What is "
        "trained already is not trained again."
    )


def _ahead(question: Question) -> list[Comparison]:
    """What looks better and is not resolved, the most ahead first."""
    return [each for each in question.those("not resolved") if each.gain > 0]


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
        left = _few([name(each.group, question) for each in unresolved])
        parts.append(f"{left} could not be told apart from it")
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
        return f"{optimizer} could not be told apart from {against} with any of {total} schedulers"
    parts: list[str] = []
    for word in RESOLVED:
        if found := question.those(word):
            listed = _shortened([f"with {each.group.run.scheduler} {_by(each)}" for each in found])
            than = f"{optimizer} is {word} than {against}" if not parts else word
            parts.append(f"{than} with {_share(len(found), total, 'scheduler')}: {listed}")
    if unresolved:
        parts.append(f"with {_few([each.group.run.scheduler for each in unresolved])} they could not be told apart")
    return "; ".join(parts)


def _share(count: int, total: int, of: str) -> str:
    if count == total:
        return f"both {of}s" if total == 2 else f"all {total} {of}s"
    return f"{count} of {total} {of}s"


def _shortened(names: Sequence[str], link: str = "and") -> str:
    more = [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return _joined([*names[:SHOWN], *more], link)


def _by(found: Comparison) -> str:
    """How much better or worse one is that is known to be so: both ends of the interval are on the mean's side of 0."""
    low, high = (number(end, found.metric) for end in sorted((abs(found.low), abs(found.high))))
    return f"by {amount(abs(found.mean), found.metric)} (95% interval {low} to {high})"


def _few(names: Sequence[str]) -> str:
    """The rest, by their names if they are few."""
    return _joined(names) if len(names) <= SHOWN else f"the other {len(names)}"


def _joined(parts: Sequence[str], link: str = "and") -> str:
    return f" {link} ".join([", ".join(parts[:-1])] * (len(parts) > 1) + [parts[-1]])


def _advice(question: Question) -> str:
    better, worse, against = question.those("better"), question.those("worse"), question.against
    if _is_crossed(question):
        return " ".join(_advice_on(*each) for each in _by_optimizer(question).items())
    if better:
        names = [name(each.group, question) for each in better]
        if len(names) == 1:
            return f"Use {names[0]}."
        beat = "both beat" if len(names) == 2 else "all of them beat"
        return f"Use {_shortened(names, 'or')}: {beat} {against}; which of them is best, this does not tell."
    avoid = f"Do not use {_shortened([name(each.group, question) for each in worse], 'or')}. " if worse else ""
    ahead = _ahead(question)
    if not ahead:
        return f"{avoid}Stay with {against}: nothing looks better."
    lead = ahead[0]
    takes = (
        "is too little to settle" if lead.needed is None else f"would take about {lead.needed} seeds in all to settle"
    )
    looks = f"{name(lead.group, question)} looks {amount(lead.gain, lead.metric)} better"
    return f"{avoid}Stay with {against} for now: {looks}, which may be luck, and {takes}."


def _advice_on(optimizer: str, question: Question) -> str:
    """What to do with an optimizer that is compared with another under several schedulers."""
    better, against = [each.group.run.scheduler for each in question.those("better")], question.against
    if not better:
        return f"Stay with {against}: {optimizer} is not known to be better with any scheduler."
    if len(better) == len(question.comparisons):
        return f"Use {optimizer}, whatever the scheduler."
    return f"If you use {_shortened(better, 'or')}, use {optimizer} with it; this is no reason to choose it."


def of_final_lr(found: Confound) -> str:
    """What the final LR explains; empty where it explains nothing that is sure."""
    if math.isnan(found.p) or found.p > 1 - LEVEL:
        return ""
    lower = "lower" if found.rho < 0 else "higher"
    return (
        f"Schedules that end with a {lower} rate do better here (rank correlation {abs(found.rho):.2f}, "
        f"p {found.p:.1g}): where a run ends explains much of these differences, whatever the way there."
    )
