"""Advice after a sweep: on each question, on the verdict as a whole, and the next command. No I/O."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import replace

from pipeline.comparison.groups import Group, is_grid
from pipeline.comparison.phrases import amount, is_crossed, joined, name, shortened
from pipeline.comparison.questions import Comparison, Confound, Question
from pipeline.comparison.statistics import LEVEL, detectable

COMMAND = "uv run dvc exp run"
AFFORDABLE = 100
"""Most seeds that a next step asks for."""


def advice(question: Question) -> str:
    """Return what to use."""
    if is_crossed(question):
        return " ".join(_advice_on_optimizer(*each) for each in by_optimizer(question).items())
    better = [name(each.group, question) for each in question.those("better")]
    if len(better) == 1:
        return f"Use {better[0]}."
    if better:
        beat, best = ("both beat", "better") if len(better) == 2 else ("all beat", "best")
        return f"Use {shortened(better, 'or')}: {beat} {question.against}, but this sweep cannot say which is {best}."
    worse = [name(each.group, question) for each in question.those("worse")]
    avoid = f"Do not use {shortened(worse, 'or')}. " if worse else ""
    return avoid + _stay(question)


def _stay(question: Question) -> str:
    """Return the advice where nothing is better."""
    ahead = _ahead(question)
    if not ahead:
        return f"Stay with {question.against}: nothing looks better."
    lead = ahead[0]
    if lead.seeds_needed is None:
        settle = "and the difference is too small to settle"
    else:
        settle = f"and settling it would take about {lead.seeds_needed} seeds in total"
    looks = f"{name(lead.group, question)} looks {amount(lead.gain, lead.metric)} better"
    return f"Stay with {question.against} for now: {looks}, but that may be chance, {settle}."


def _advice_on_optimizer(optimizer: str, question: Question) -> str:
    """Return the advice on an optimizer that is compared with another under several schedulers."""
    better, against = [each.group.run.scheduler for each in question.those("better")], question.against
    if not better:
        return f"Stay with {against}: {optimizer} is not shown to be better with any scheduler."
    if len(better) == len(question.comparisons):
        return f"Use {optimizer}, whatever the scheduler."
    return f"If you use {shortened(better, 'or')}, use {optimizer} with it. This does not say which scheduler to use."


def by_optimizer(question: Question) -> dict[str, Question]:
    """Split a question by the optimizer that is compared with the first, by its name."""
    comparisons: dict[str, list[Comparison]] = {}
    for each in question.comparisons:
        comparisons.setdefault(each.group.run.optimizer, []).append(each)
    return {optimizer: replace(question, comparisons=those) for optimizer, those in comparisons.items()}


def shared_seeds(question: Question) -> int:
    """Return the number of seeds that all groups of a question have."""
    return min(min(len(each.group.records), len(each.other.records)) for each in question.comparisons)


def notes(groups: Sequence[Group], questions: Sequence[Question], confound: Confound) -> list[str]:
    """Return the notes that bear on the verdict, and the next step; ``confound`` is that of the first question."""
    every = (power_note(questions[0]), final_lr_note(confound), base_lr_note(groups), next_step(questions))
    return [note for note in every if note]


def power_note(question: Question) -> str:
    """Return what difference a sweep like this detects; empty if all is resolved, or if nothing scatters."""
    deviations = [each.test.deviation for each in question.comparisons if each.test.deviation]
    if not deviations or not question.those("not resolved"):
        return ""
    metric, together = question.comparisons[0].metric, question.comparisons[0].test.together
    smallest = detectable(shared_seeds(question), together) * statistics.median(deviations)
    if question.those("better") or question.those("worse"):
        return (
            "The differences called better or worse stand. Among the rest, a true difference below about "
            f"{amount(smallest, metric)} may have gone undetected."
        )
    comparisons = "one comparison" if together == 1 else f"{together} comparisons"
    reached = statistics.fmean(question.comparisons[0].other.figures(metric))
    ceiling = ""
    if metric == "test_accuracy" and reached + smallest > 1:
        ceiling = f" No {question.subject} can gain that much: {question.against} is already at {100 * reached:.2f}%."
    return (
        f"With {comparisons} and {shared_seeds(question)} seeds, a true difference must be about "
        f"{amount(smallest, metric)} to be detected four times out of five.{ceiling} Not resolved does not mean equal."
    )


def base_lr_note(groups: Sequence[Group]) -> str:
    """Return a warning that the base LR may decide; empty for a grid, which shows it."""
    if is_grid(groups):
        return ""
    by_rate: dict[float, list[str]] = {}
    for group in groups:
        by_rate.setdefault(group.run.lr, []).append(group.name)
    if len(by_rate) == 1:
        (rate,) = by_rate
        grid = ",".join(f"{times * rate:.3g}" for times in (1 / 3, 1, 3))
        return (
            f"Check the base LR first: {rate:g} may not be a good one, and another may change this answer. "
            f"`{COMMAND} -S 'lr=[{grid}]'` tries three and compares each scheduler at its own best."
        )
    commonest = max(by_rate, key=lambda rate: len(by_rate[rate]))
    others = [f"{shortened(names)} {_has(names)} {rate:g}" for rate, names in by_rate.items() if rate != commonest]
    grid = ",".join(f"{rate:g}" for rate in sorted(by_rate))
    return (
        f"Check the base LR first: it differs and may explain the result. {joined(others)}, the others "
        f"{commonest:g}. `{COMMAND} -S 'lr=[{grid}]'` trains every scheduler at each of them."
    )


def _has(names: Sequence[str]) -> str:
    return "has" if len(names) == 1 else "have"


def final_lr_note(confound: Confound) -> str:
    """Return what the final LR explains; empty if the correlation is not significant."""
    if math.isnan(confound.p) or confound.p > 1 - LEVEL:
        return ""
    lower = "lower" if confound.rho < 0 else "higher"
    return (
        f"Schedules that end at a {lower} rate do better here (rank correlation {abs(confound.rho):.2f}, "
        f"p = {confound.p:.1g}): the final rate may explain much of these differences, whatever the way there."
    )


def next_step(questions: Sequence[Question]) -> str:
    """Return the command that would settle the largest unresolved gain; empty if there is none, or no hope."""
    leads = [ahead[0] for question in questions if (ahead := _ahead(question)) and not question.those("better")]
    affordable = {lead.seeds_needed: lead for lead in leads if lead.seeds_needed and lead.seeds_needed <= AFFORDABLE}
    if not affordable:
        return ""
    seeds, lead = max(affordable.items(), key=lambda each: each[0])
    return (
        f"To settle whether {lead.group.name} is better than {lead.other.name}, run `{COMMAND} -S seeds={seeds}`. "
        "Finished runs are not trained again."
    )


def _ahead(question: Question) -> list[Comparison]:
    """Return what looks better but is not resolved, the largest gain first."""
    return [each for each in question.those("not resolved") if each.gain > 0]
