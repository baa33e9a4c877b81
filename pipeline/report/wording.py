"""Put the answer and the verdicts into sentences. No I/O."""

import math
from collections.abc import Sequence

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.groups import Group, is_grid, ranked
from pipeline.comparison.questions import Question, Verdict, final_lr_effect
from pipeline.errors import plural
from pipeline.report.advice import COMMAND, at_edge_of_grid, cautions, final_lr, next_step
from pipeline.report.arms import name as arm_name
from pipeline.report.phrases import SHOWN, amount, are, interval, is_crossed, joined, name, shortened, size
from pipeline.report.units import sentence
from pipeline.runs.metric import Metric
from pipeline.schedules.schedule_table import formula, source

VERDICTS: tuple[Verdict, ...] = ("better", "worse", "equivalent", "open")
SURE = "95% sure that"


def verdict(findings: Findings) -> str:
    """Return the answer, the cautions, the evidence and the next command as paragraphs."""
    first = [f"First, though: {caution}" for caution in cautions(findings)]
    rest = [" ".join(basis(findings)), next_step(findings)]
    return "\n\n".join(filter(None, [headline(findings), *first, *rest]))


def headline(findings: Findings) -> str:
    """Return the answer in a sentence or two."""
    answer = findings.answer
    if answer.kind == "nothing":
        return _nothing_to_compare(findings)
    if answer.kind == "open":
        return _open(answer)
    text = _recommendation(answer)
    if answer.is_provisional:
        return f"Provisional, from {plural(int(answer.standing.seeds.min()), 'seed')}: {text[0].lower()}{text[1:]}"
    return text


def _recommendation(answer: Answer) -> str:
    """Return the recommendation as a sentence or two. The answer must be known."""
    good, baseline, margin = answer.good_enough, answer.baseline, _margin(answer)
    than = {1: "", 2: " than either"}.get(len(good), " than any of these")
    nothing = f"nothing here is more than {margin} better"
    if baseline in good and answer.kind in ("baseline", "same") and len(good) > 1:
        names = _names(sorted(good, key=lambda group: group is not baseline), answer)  # the baseline first
        return f"For practical purposes the same: {joined(names)}. {nothing.capitalize()}{than} (95% sure)."
    if answer.kind == "same" and baseline is not None:
        leader, other = arm_name(answer.leader, answer), arm_name(baseline, answer)
        return f"Use {leader} or {other}: {SURE} they are at most {margin} apart, and that {nothing} than {leader}."
    verb = "Stay with" if answer.kind == "baseline" else "Use"
    beats = ""
    if answer.kind == "use" and baseline is not None:
        it = {1: "it beats", 2: "both beat"}.get(len(good), "each beats")
        beats = f", and that {it} {arm_name(baseline, answer)}"
    return f"{verb} {joined(_names(good, answer), 'or')}{_rate(good, answer)}: {SURE} {nothing}{than}{beats}."


def _rate(groups: Sequence[Group], answer: Answer) -> str:
    """Return the base LR of the recommended groups as text, such as ` at a base LR of 0.1`.

    The text is empty if the recommended groups differ in their base LR, or if all arms have the same base LR.
    """
    rates = {group.run.lr for group in groups}
    all_alike = len({group.run.lr for group in answer.arms}) == 1
    return "" if all_alike or len(rates) > 1 else f" at a base LR of {rates.pop():g}"


def _open(answer: Answer) -> str:
    """Return the headline of an open answer: why it is open, and what is known about the leader."""
    leader, standing = arm_name(answer.leader, answer), answer.standing
    bound = float(standing.bound[standing.leader])
    seeds = int(standing.seeds.min())
    spent = f"the budget of {answer.budget} runs is spent" if answer.budget else f"{plural(seeds, 'seed')} cannot tell"
    if seeds < 2:
        return f"Not known yet: {spent} which is best."
    known = "there is no bound yet on how much better another may be"
    if math.isfinite(bound):
        known = f"{SURE} nothing here is more than {amount(bound, answer.scale.metric)} better"
    baseline = answer.baseline
    against = ""
    if baseline is not None and baseline is not answer.leader and not standing.is_baseline_settled:
        against = f"; whether it beats {arm_name(baseline, answer)} is open"
    return f"Not known yet: {spent}. {leader} leads: {known}{against}."


def _nothing_to_compare(findings: Findings) -> str:
    """Return why there is nothing to compare in a sweep, and the best base LRs if it has a grid of them."""
    names = list(dict.fromkeys(group.run.scheduler for group in findings.answer.arms))
    baseline = findings.baseline
    if baseline in names:
        why = f"the baseline, {baseline}, is the only scheduler in the sweep."
    else:
        why = f"the baseline, {baseline}, is not in the sweep."
        if len(names) <= SHOWN:
            why += f" Add the baseline with `{COMMAND} -S 'scheduler=[{','.join([baseline, *names])}]'`."
    if is_grid(group.run for group in findings.sweep.groups):
        rates = joined([f"{group.run.lr:g} for {group.run.scheduler}" for group in findings.answer.arms])
        why += f" By validation loss, the best base LR is {rates}."
    return f"There is nothing to compare: {why}"


def basis(findings: Findings) -> list[str]:
    """Return the evidence for the answer, as a list of sentences."""
    answer = findings.answer
    if answer.kind == "nothing":
        return []
    seeds = sorted({int(count) for count in answer.standing.seeds})
    many = plural(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    own = ", at the base LR that validates best" if is_grid(group.run for group in findings.sweep.groups) else ""
    lines = [
        f"This answer rests on {answer.runs} runs: {many} of each scheduler{own}.",
        _leader(findings),
        sentence(findings),
    ]
    if out := _names(answer.not_needed, answer):
        lines.append(f"Not needed, because something here is better: {shortened(out)}.")
    lines.append(_rivals(answer))
    if findings.questions:
        first = findings.questions[0]
        lines.append(_counts(first) if first.subject == "scheduler" else "")
        lines += [final_lr(final_lr_effect(first)), at_edge_of_grid(findings)]
    if len(answer.rounds) > 1:
        more = "After the first round, only schedulers that could still change the answer got more seeds"
        lines.append(f"{more}; the test accounts for that.")
    lines.append(
        "All of this accounts for chance in the initial weights and the order of the batches, not in the data"
        + (f": the test split has {round(1 / answer.scale.least)} examples." if answer.scale.least else ".")
    )
    lines.append(_formula(answer.leader))
    return [line for line in lines if line]


def _leader(findings: Findings) -> str:
    """Return a sentence or two on the means of the leader and the baseline, and on the gain if the leader is better."""
    answer = findings.answer
    leader, baseline, metric = answer.leader, answer.baseline, answer.scale.metric
    if not math.isfinite(leader.mean(metric)):
        return ""  # runs of the leader diverged, and a caution says so
    winner, best = arm_name(leader, answer), "highest" if metric.higher_is_better else "lowest"
    text = f"{winner} has the {best} mean {metric.title}, {_mean(leader, metric)}"
    if baseline is None or baseline is leader or math.isnan(baseline.mean(metric)):
        return f"{text}."
    text += f"; {arm_name(baseline, answer)} has {_mean(baseline, metric)}"
    for comparison in (comparison for question in findings.questions for comparison in question.comparisons):
        if comparison.group is leader and comparison.other is baseline and comparison.verdict == "better":
            gain, least = amount(comparison.gain, metric), amount(max(comparison.low, 0.0), metric)
            return f"{text}. Over their common seeds, {winner} is {gain} better (95% confidence: at least {least})."
    return f"{text}."


def _rivals(answer: Answer) -> str:
    """Return a sentence on the arms that may be the best but are not good enough.

    The sentence is empty if there are no such arms, if the answer is open, or if there is nothing to compare.
    """
    good = answer.good_enough
    rivals = [group for group in answer.may_be_best if group not in good]
    if answer.kind in ("open", "nothing") or not rivals:
        return ""
    names = shortened(_names(ranked(rivals, answer.scale.metric), answer))
    return f"{plural(len(rivals), 'other')} may be as good or better, but by no more than the margin: {names}."


def _formula(group: Group) -> str:
    """Return a sentence with the formula and source of a group's scheduler, or an empty string if it has no source."""
    schedule = group.run.schedule
    published = source(schedule)
    return f"{group.run.scheduler} is {formula(schedule)} ({published})." if published else ""


def _mean(group: Group, metric: Metric) -> str:
    mean = group.mean(metric)
    return f"{100 * mean:.2f}%" if metric.is_share else f"{mean:.4g}"


def _counts(question: Question) -> str:
    """Return a sentence that says how many groups got each verdict."""
    counts = {word: len(question.with_verdict(word)) for word in VERDICTS}
    parts = [f"{count} {are(count)} {word}" for word, count in counts.items() if count]
    if not counts["better"]:
        parts.insert(0, "none is shown to be better")
    return f"Against {question.against}, {joined(parts)}."


def setup(findings: Findings) -> str:
    """Return a description of the sweep: its schedulers, optimizers, base LRs and runs, and what a seed sets."""
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


def question_result(question: Question) -> str:
    """Return the answer to a question in a sentence."""
    seeds = sorted({comparison.seeds for comparison in question.comparisons})
    if seeds[0] < 2:
        return f"One seed is too few to tell {question.subject}s apart."
    many = f"{seeds[0]} seeds" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
    against = f"{question.against} in {question.scale.metric.title}"
    if is_crossed(question):
        optimizers = dict.fromkeys(comparison.group.run.optimizer for comparison in question.comparisons)
        parts = [_under_schedulers(optimizer, question, against) for optimizer in optimizers]
    else:
        parts = _parts(question, against)
    return f"{'Provisional, over' if question.is_provisional else 'Over'} {many}{question.at}, {'; '.join(parts)}."


def _parts(question: Question, against: str) -> list[str]:
    """Return clauses that say how the schedulers, or the optimizers of a scheduler, compare with ``against``."""
    total, margin = len(question.comparisons), size(question.scale.margin, question.scale.metric)

    def names(verdict: Verdict) -> list[str]:
        return [name(comparison.group, question) for comparison in question.with_verdict(verdict)]

    if len(names("open")) == total:
        none = f"none of the {total} {question.subject}s" if total > 1 else names("open")[0]
        return [f"{none} is {'' if total > 1 else 'not '}shown to differ from {against}"]
    parts = []
    for word in ("better", "worse"):
        shown = question.with_verdict(word)
        by = [f"{amount(row.gain, row.metric)} ({interval(row)})" for row in shown]
        if total == 1 and shown:
            parts.append(f"{names(word)[0]} is {word} than {against} by {by[0]}")
        elif shown:
            share = _share(len(shown), total, question.subject)
            listed = [f"{group} by {difference}" for group, difference in zip(names(word), by, strict=True)]
            parts.append(f"{share} {are(len(shown))} {word} than {against}: {shortened(listed)}")
    if same := names("equivalent"):
        parts.append(f"{shortened(same)} {are(len(same))} equivalent to {against} (at most {margin} apart)")
    if unresolved := names("open"):
        parts.append(f"{shortened(unresolved)} {are(len(unresolved))} open")
    return parts


def _under_schedulers(optimizer: str, question: Question, against: str) -> str:
    """Return the results of an optimizer under several schedulers, as a clause."""
    comparisons = [comparison for comparison in question.comparisons if comparison.group.run.optimizer == optimizer]
    parts: list[str] = []
    for word in VERDICTS:
        names = [comparison.group.run.scheduler for comparison in comparisons if comparison.verdict == word]
        if names:
            parts.append(f"{word} with {_share(len(names), len(comparisons), 'scheduler')} ({shortened(names)})")
    return f"{optimizer} against {against}: {', '.join(parts)}"


def _share(count: int, total: int, noun: str) -> str:
    if count == total:
        return f"both {noun}s" if total == 2 else f"all {total} {noun}s"
    return f"{count} of {total} {noun}s"


def _names(groups: Sequence[Group], answer: Answer) -> list[str]:
    return [arm_name(group, answer) for group in groups]


def _margin(answer: Answer) -> str:
    return size(answer.scale.margin, answer.scale.metric)
