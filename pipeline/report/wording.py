"""The answer and the verdicts in words. No I/O."""

import math
import statistics
from collections.abc import Sequence

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.groups import Group, is_grid, ranked
from pipeline.comparison.questions import Comparison, Question, Verdict, final_lr_effect
from pipeline.errors import plural
from pipeline.report.advice import COMMAND, at_edge_of_grid, cautions, final_lr, next_step
from pipeline.report.arms import name as name_of
from pipeline.report.phrases import (
    SHOWN,
    amount,
    interval,
    is_crossed,
    joined,
    name,
    shortened,
    size,
    words,
)
from pipeline.report.units import sentence
from pipeline.runs.params import Metric
from pipeline.schedules.table import formula, source

__all__ = ["basis", "cautions", "headline", "next_step", "sentences", "setup", "verdict"]

VERDICTS: tuple[Verdict, ...] = ("better", "worse", "equivalent", "open")
SURE = "95% sure that"


def verdict(findings: Findings) -> str:
    """Return all that a sweep says, in paragraphs."""
    first = [f"First, though: {caution}" for caution in cautions(findings)]
    rest = [" ".join(basis(findings)), next_step(findings)]
    return "\n\n".join(filter(None, [headline(findings), *first, *rest]))


def headline(findings: Findings) -> str:
    """Return the answer, in one sentence where it is known."""
    answer = findings.answer
    if answer.kind == "nothing":
        return nothing_to_compare(findings)
    said = {"open": _open, "same": _same}.get(answer.kind, _known)(answer)
    if answer.is_provisional and answer.kind != "open":
        return f"Provisional, from {plural(int(answer.standing.held.min()), 'seed')}: {said[0].lower()}{said[1:]}"
    return said


def _known(answer: Answer) -> str:
    """Return what to use, where the leader is the baseline, or beats it, or there is none."""
    names, margin = _names(answer.good_enough, answer), size(answer.scale.margin, answer.scale.metric)
    baseline = answer.baseline
    if answer.kind == "baseline" and baseline is not None and len(names) > 1:
        return _alike(baseline, answer)
    verb = "Stay with" if answer.kind == "baseline" else "Use"
    than = "" if len(names) == 1 else f" than {'either' if len(names) == 2 else 'any of these'}"
    beats = ""
    if answer.kind == "use" and baseline is not None:
        it = {1: "it beats", 2: "both beat"}.get(len(names), "each beats")
        beats = f", and that {it} {name_of(baseline, answer)}"
    use = f"{verb} {joined(names, 'or')}{_rate(answer.good_enough, answer)}"
    return f"{use}: {SURE} nothing here is more than {margin} better{than}{beats}."


def _rate(groups: Sequence[Group], answer: Answer) -> str:
    """Return the base LR of groups, where they share one and not all arms do; otherwise tables have it."""
    rates = {group.run.lr for group in groups}
    all_alike = len({group.run.lr for group in answer.arms}) == 1
    return "" if all_alike or len(rates) > 1 else f" at a base LR of {rates.pop():g}"


def _same(answer: Answer) -> str:
    """Return what to use, where leader and baseline are at most the margin apart."""
    margin, baseline = size(answer.scale.margin, answer.scale.metric), answer.baseline
    assert baseline is not None
    if baseline in answer.good_enough:
        return _alike(baseline, answer)
    leader, other = name_of(answer.leader, answer), name_of(baseline, answer)
    return (
        f"Use {leader} or {other}: {SURE} they are at most {margin} apart, and that nothing here is "
        f"more than {margin} better than {leader}."
    )


def _alike(baseline: Group, answer: Answer) -> str:
    """Return that the baseline and others are good enough."""
    names = _names([baseline, *(group for group in answer.good_enough if group is not baseline)], answer)
    margin, than = size(answer.scale.margin, answer.scale.metric), "either" if len(names) == 2 else "any of these"
    return (
        f"For practical purposes the same: {joined(names)}. Nothing here is more than {margin} better than {than} "
        "(95% sure)."
    )


def _open(answer: Answer) -> str:
    """Return how far it is known what to use."""
    leader, standing = name_of(answer.leader, answer), answer.standing
    bound = float(standing.bound[standing.leader])
    seeds = int(standing.held.min())
    spent = f"the budget of {answer.budget} runs is spent" if answer.budget else f"{plural(seeds, 'seed')} cannot tell"
    if seeds < 2:
        return f"Not known yet: {spent} which is best."
    known = "how much better anything else may be cannot be said"
    if bound < float("inf"):
        known = f"{SURE} nothing here is more than {amount(bound, answer.scale.metric)} better"
    baseline = answer.baseline
    against = ""
    if baseline is not None and baseline is not answer.leader and not standing.is_baseline_settled:
        against = f"; whether it beats {name_of(baseline, answer)} is open"
    return f"Not known yet: {spent}. {leader} leads: {known}{against}."


def nothing_to_compare(findings: Findings) -> str:
    """Return why a sweep has no question, and the best base LRs if it is a grid."""
    names = list(dict.fromkeys(group.run.scheduler for group in findings.answer.arms))
    baseline = findings.baseline
    if baseline in names:
        why = f"the baseline, {baseline}, is the only scheduler in the sweep."
    else:
        why = f"the baseline, {baseline}, is not in the sweep."
        if len(names) <= SHOWN:
            why += f" Add it: `{COMMAND} -S 'scheduler=[{','.join([baseline, *names])}]'`."
    told = f"There is nothing to compare: {why}"
    if is_grid(group.run for group in findings.sweep.groups):
        rates = joined([f"{group.run.lr:g} for {group.run.scheduler}" for group in findings.answer.arms])
        told += f" By validation loss, the best base LR is {rates}."
    return told


def basis(findings: Findings) -> list[str]:
    """Return what the answer rests on, in sentences."""
    answer = findings.answer
    if answer.kind == "nothing":
        return []
    seeds = sorted({int(count) for count in answer.standing.held})
    many = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    own = ", at the base LR that validates best" if is_grid(group.run for group in findings.sweep.groups) else ""
    told = [f"This rests on {answer.runs} runs: {many} of each{own}.", _leader(findings), sentence(findings)]
    if out := _names(answer.not_needed, answer):
        told.append(f"Not needed, as something here is better: {shortened(out)}.")
    told.append(_rivals(answer))
    if findings.questions and findings.questions[0].subject == "scheduler":
        told.append(_counts(findings.questions[0]))
    if findings.questions:
        told += [final_lr(final_lr_effect(findings.questions[0])), at_edge_of_grid(findings)]
    if len(answer.rounds) > 1:
        told.append("More seeds were run only where they could change the answer; the test accounts for that.")
    told.append(
        "All of this is about chance in the initial weights and the order of the batches, not in the data"
        + (f": the test split has {round(1 / answer.scale.least)} examples." if answer.scale.least else ".")
    )
    told.append(_what_it_is(answer.leader))
    return [sentence for sentence in told if sentence]


def _leader(findings: Findings) -> str:
    answer = findings.answer
    leader, metric = answer.leader, answer.scale.metric
    if not math.isfinite(statistics.fmean(leader.figures(metric))):
        return ""  # the runs that diverged are among the cautions
    best = "highest" if metric == "test_accuracy" else "lowest"
    told = f"{name_of(leader, answer)} has the {best} mean {words(metric)}, {_mean(leader, metric)}"
    baseline = answer.baseline
    if baseline is None or baseline is leader or math.isnan(statistics.fmean(baseline.figures(metric))):
        return f"{told}."
    told += f"; {name_of(baseline, answer)} has {_mean(baseline, metric)}"
    for question in findings.questions:
        for each in question.comparisons:
            if each.group is leader and each.other is baseline and each.verdict == "better":
                least = amount(max(each.low, 0.0), metric)
                return f"{told}. Over the seeds of both it is {amount(each.gain, metric)} better, at least {least}."
    return f"{told}."


def _rivals(answer: Answer) -> str:
    """Return what else may be the best, where the answer is known."""
    good = answer.good_enough
    may_be = [group for group in answer.arms if group not in answer.not_needed and group not in good]
    if answer.kind in ("open", "nothing") or not may_be:
        return ""
    other = f"{plural(len(may_be), 'other')} may be as good or better"
    return f"{other}, but by no more than the margin: {shortened(_names(ranked(may_be, answer.scale.metric), answer))}."


def _what_it_is(group: Group) -> str:
    """Return what a scheduler does: its formula and its source; empty for a constant rate."""
    schedule = group.run.schedule
    published = source(schedule)
    return f"{group.run.scheduler} is {formula(schedule)} ({published})." if published else ""


def _mean(group: Group, metric: Metric) -> str:
    mean = statistics.fmean(group.figures(metric))
    return f"{100 * mean:.2f}%" if metric == "test_accuracy" else f"{mean:.4g}"


def _counts(question: Question) -> str:
    """Return how many are better, worse, equivalent and open."""
    counts = {word: len(question.those(word)) for word in VERDICTS}
    parts = [
        f"{count} {'is' if count == 1 else 'are'} {word}" for word, count in counts.items() if count and word != "open"
    ]
    if not counts["better"]:
        parts.insert(0, "none is shown to be better")
    if counts["open"]:
        parts.append(f"for {counts['open']} it is open")
    return f"Against {question.against}, {joined(parts)}."


def setup(findings: Findings) -> str:
    """Return what was trained, how often, and what a seed is."""
    groups = findings.sweep.groups
    schedulers = {group.run.scheduler for group in groups}
    optimizers = list(dict.fromkeys(group.run.optimizer for group in groups))
    rates = [f"{lr:g}" for lr in dict.fromkeys(group.run.lr for group in groups)]
    at = f"a base LR of {rates[0]}" if len(rates) == 1 else f"base LRs of {joined(rates)}"
    runs, compared = sum(len(group.records) for group in groups), findings.answer.runs
    many = plural(runs, "run")
    if findings.answer.budget is not None and compared < runs:
        many += f" ({runs - compared} to choose base LRs, {compared} to compare)"
    return (
        f"{plural(len(schedulers), 'scheduler')} with {joined(optimizers)} at {at}, {many}. A seed sets the initial "
        "weights and the order of the batches, which are the same under every scheduler."
    )


def sentences(question: Question) -> str:
    """Return what a question found."""
    seeds = sorted({each.seeds for each in question.comparisons})
    if seeds[0] < 2:
        return f"One seed cannot tell {question.subject}s apart."
    many = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    against = f"{question.against} in {words(question.comparisons[0].metric)}"
    if is_crossed(question):
        parts = [_under_schedulers(*each, against) for each in by_optimizer(question).items()]
    else:
        parts = _parts(question, against)
    provisional = "Provisional, over" if any(each.is_provisional for each in question.comparisons) else "Over"
    return f"{provisional} {many}{question.at}, {'; '.join(parts)}."


def by_optimizer(question: Question) -> dict[str, list[Comparison]]:
    """Split a question by the optimizer that is compared with the first, by its name."""
    comparisons: dict[str, list[Comparison]] = {}
    for each in question.comparisons:
        comparisons.setdefault(each.group.run.optimizer, []).append(each)
    return comparisons


def _parts(question: Question, against: str) -> list[str]:
    """Return the findings on schedulers, or on optimizers under one scheduler."""
    parts = []
    total, unresolved = len(question.comparisons), [name(each.group, question) for each in question.those("open")]
    if len(unresolved) == total:
        none = f"none of the {total} {question.subject}s" if total > 1 else unresolved[0]
        return [f"{none} is {'' if total > 1 else 'not '}shown to differ from {against}"]
    for word in ("better", "worse"):
        if those := question.those(word):
            listed = shortened([f"{name(each.group, question)} {_by(each)}" for each in those])
            count = "" if total == 1 else f"{_share(len(those), total, question.subject)}: "
            parts.append(f"{count}{listed} {word} than {against}")
    if same := [name(each.group, question) for each in question.those("equivalent")]:
        margin = size(question.comparisons[0].scale.margin, question.comparisons[0].metric)
        parts.append(f"{shortened(same)} at most {margin} from {against}")
    if unresolved:
        parts.append(f"{shortened(unresolved)} open against {against}")
    return parts


def _under_schedulers(optimizer: str, comparisons: Sequence[Comparison], against: str) -> str:
    """Return the finding on an optimizer under several schedulers."""
    parts: list[str] = []
    for word in VERDICTS:
        found = [each.group.run.scheduler for each in comparisons if each.verdict == word]
        if found:
            parts.append(f"{word} with {_share(len(found), len(comparisons), 'scheduler')} ({shortened(found)})")
    return f"{optimizer} against {against}: {', '.join(parts)}"


def _share(count: int, total: int, noun: str) -> str:
    if count == total:
        return f"both {noun}s" if total == 2 else f"all {total} {noun}s"
    return f"{count} of {total} {noun}s"


def _by(found: Comparison) -> str:
    return f"{amount(found.gain, found.metric)} ({interval(found)})"


def _names(groups: Sequence[Group], answer: Answer) -> list[str]:
    return [name_of(group, answer) for group in groups]
