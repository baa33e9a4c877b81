"""The verdict in words: what a sweep found, in sentences. No I/O."""

import statistics
from collections.abc import Sequence

from pipeline.comparison.advice import COMMAND, advice, by_optimizer, shared_seeds
from pipeline.comparison.groups import Group, at_own_best, is_grid, ranked
from pipeline.comparison.phrases import SHOWN, amount, is_crossed, joined, name, number, plural, shortened, words
from pipeline.comparison.questions import Comparison, Question, Verdict
from pipeline.params import Metric

RESOLVED: tuple[Verdict, ...] = ("better", "worse")


def verdict(groups: Sequence[Group], questions: Sequence[Question], baseline: str) -> str:
    """Return the whole verdict of a sweep, a paragraph for each question."""
    if not questions:
        return nothing_to_compare(groups, baseline)
    paragraphs = [" ".join(sentences(question)) for question in questions]
    if len(questions) > 1:
        titled = zip(questions, paragraphs, strict=True)
        paragraphs = [f"{question.title}: {paragraph}" for question, paragraph in titled]
    return "\n\n".join(paragraphs)


def sentences(question: Question) -> tuple[str, str]:
    """Return what a question found, and what to do."""
    if shared_seeds(question) < 2:
        return (
            f"One seed cannot tell {question.subject}s apart.",
            f"Run at least two, better five or ten: `{COMMAND} -S seeds=5`.",
        )
    return _finding(question), advice(question)


def nothing_to_compare(groups: Sequence[Group], baseline: str) -> str:
    """Return why a sweep has no question, and the best base LRs if it is a grid."""
    names = list(dict.fromkeys(group.run.scheduler for group in groups))
    if baseline in names:
        why = f"the baseline, {baseline}, is the only scheduler in the sweep."
    else:
        why = f"the baseline, {baseline}, is not in the sweep."
        if len(names) <= SHOWN:
            why += f" Add it: `{COMMAND} -S 'scheduler=[{','.join([baseline, *names])}]'`."
    told = f"There is nothing to compare: {why}"
    if is_grid(groups):
        best = at_own_best(groups)
        rates = joined([f"{group.run.lr:g} for {group.run.scheduler}" for group in best])
        told += f" By validation loss, the best base LR is {rates}."
    return told


def setup(groups: Sequence[Group]) -> str:
    """Return what was trained, how often, and what a seed is."""
    schedulers = {group.run.scheduler for group in groups}
    optimizers = list(dict.fromkeys(group.run.optimizer for group in groups))
    rates = [f"{lr:g}" for lr in dict.fromkeys(group.run.lr for group in groups)]
    at = f"a base LR of {rates[0]}" if len(rates) == 1 else f"base LRs of {joined(rates)}"
    seeds = plural(len(groups[0].records), "seed")
    return (
        f"{plural(len(schedulers), 'scheduler')} with {joined(optimizers)} at {at}, {seeds} each. A seed sets the "
        "initial weights and the order of the batches, which are the same under every scheduler."
    )


def best_mean(groups: Sequence[Group], metric: Metric) -> str:
    """Return which group has the best mean, for sweeps in which no question compares all of them."""
    best = ranked(groups, metric)[0]
    unit = "%" if metric == "test_accuracy" else ""
    reached = number(statistics.fmean(best.figures(metric)), metric) + unit
    return (
        f"{best.name} has the best mean {words(metric)}, {reached}, but that alone does not make it better than the "
        "others. What the sweep shows:"
    )


def _finding(question: Question) -> str:
    against = f"{question.against} in {words(question.comparisons[0].metric)}"
    if is_crossed(question):
        parts = [_under_schedulers(*each, against) for each in by_optimizer(question).items()]
    else:
        parts = _parts(question, against)
    return f"Over {shared_seeds(question)} seeds{question.at}, {'; '.join(parts)}."


def _parts(question: Question, against: str) -> list[str]:
    """Return the findings on schedulers, or on optimizers under one scheduler."""
    total, unresolved = len(question.comparisons), question.those("not resolved")
    parts = []
    for word in RESOLVED:
        those = question.those(word)
        if those and total == 1:
            parts.append(f"{name(those[0].group, question)} is {word} than {against}, {_by(those[0])}")
        elif those:
            verb = "is" if len(those) == 1 else "are"
            listed = shortened([f"{name(each.group, question)} {_by(each)}" for each in those])
            parts.append(f"{_share(len(those), total, question.subject)} {verb} {word} than {against}: {listed}")
    names = [name(each.group, question) for each in unresolved]
    if unresolved and parts:
        parts.append(f"{_few(names)} could not be told apart from it")
    elif unresolved:
        parts.append(f"{_none(names, question.subject)} be told apart from {against}")
    return parts


def _none(names: Sequence[str], subject: str) -> str:
    """Return the beginning of a sentence about all that was compared: `neither scheduler could`."""
    if len(names) == 1:
        return f"{names[0]} could not"
    return f"neither {subject} could" if len(names) == 2 else f"none of the {len(names)} {subject}s could"


def _under_schedulers(optimizer: str, question: Question, against: str) -> str:
    """Return the finding on an optimizer under several schedulers."""
    total, unresolved = len(question.comparisons), question.those("not resolved")
    if len(unresolved) == total:
        which = "either scheduler" if total == 2 else f"any of the {total} schedulers"
        return f"{optimizer} could not be told apart from {against} with {which}"
    parts: list[str] = []
    for word in RESOLVED:
        if found := question.those(word):
            listed = shortened([f"with {each.group.run.scheduler} {_by(each)}" for each in found])
            than = word if parts else f"{optimizer} is {word} than {against}"
            parts.append(f"{than} with {_share(len(found), total, 'scheduler')}: {listed}")
    if unresolved:
        parts.append(f"with {_few([each.group.run.scheduler for each in unresolved])} they could not be told apart")
    return "; ".join(parts)


def _share(count: int, total: int, noun: str) -> str:
    if count == total:
        return f"both {noun}s" if total == 2 else f"all {total} {noun}s"
    return f"{count} of {total} {noun}s"


def _by(found: Comparison) -> str:
    """Return the size of a significant difference, whose interval lies on one side of 0."""
    ends = sorted((abs(found.test.low), abs(found.test.high)))
    low, high = (number(end, found.metric) for end in ends)
    return f"by {amount(abs(found.test.mean), found.metric)} (95% interval {low} to {high})"


def _few(names: Sequence[str]) -> str:
    """Return the names of the rest, or their number if they are many."""
    return joined(names) if len(names) <= SHOWN else f"the other {len(names)}"
