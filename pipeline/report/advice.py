"""Advice after a sweep: cautions about the answer, and the next command. No I/O."""

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.groups import Group, comparable_figures, final_val_loss, is_grid
from pipeline.comparison.questions import Confound
from pipeline.comparison.stability import outside
from pipeline.comparison.statistics import LEVEL, heavy_tails
from pipeline.errors import plural
from pipeline.report.phrases import amount, joined, shortened, size
from pipeline.runs.params import Run
from pipeline.runs.records import Stable
from pipeline.runs.values import is_rate

COMMAND = "uv run dvc exp run"


def cautions(findings: Findings) -> list[str]:
    """Return the reasons why the answer may be wrong, each in a sentence or two."""
    answer = findings.answer
    rates = unstable([arm.run for arm in answer.arms], findings.stable)
    if not findings.questions:
        return rates
    others = (
        few_examples(answer),
        failures(answer.arms),
        tails(answer),
        edge_of_grid(findings),
        "" if rates else base_lr(findings.sweep.groups),
    )
    return [*rates, *filter(None, others)]


def unstable(runs: Iterable[Run], stable: Mapping[str, Stable]) -> list[str]:
    """Return warnings about base LRs outside the stable range of their optimizer, with rates to try instead."""
    warnings = []
    for each in outside(runs, stable):
        found = stable[each.optimizer]
        grid = ",".join(f"{rate:g}" for rate in found.grid if found.holds(rate))
        rates = f"At {'base LRs' if len(each.rates) > 1 else 'a base LR'} of {joined([f'{lr:g}' for lr in each.rates])}"
        if each.is_low:
            why = f"{each.optimizer} is too slow for a run of this length: a range test says it needs {found.low:.2g}"
        else:
            why = f"{each.optimizer} is not stable: in a range test, the loss rises for good above {found.high:.2g}"
        what_to_do = f"`{COMMAND} -S 'lr=[{grid}]'` tries rates in the stable range."
        if not grid:
            what_to_do = "The run is too short for any stable rate: train for more epochs."
        warnings.append(f"{rates} ({shortened(each.schedulers)}), {why}. {what_to_do}")
    return warnings


def few_examples(answer: Answer) -> str:
    """Return a warning if one test example changes the metric by more than the margin, otherwise an empty string."""
    scale = answer.scale
    if scale.least <= scale.margin:
        return ""
    examples = round(1 / scale.least)
    one, margin = amount(scale.least, scale.metric), size(scale.margin, scale.metric)
    return (
        f"The test split has {plural(examples, 'example')}, so one example is worth {one}, more than the margin of "
        f"{margin}. More test examples are needed to detect a difference as small as the margin."
    )


def failures(arms: Sequence[Group]) -> str:
    """Return a caution with the number of diverged and dead runs of each group, or an empty string if no run failed."""
    parts = [
        f"{group.count(outcome)} of {plural(len(group.records), 'run')} of {group.name} {verb}"
        for outcome, verb in (("diverged", "diverged"), ("dead", "died"))
        for group in arms
        if group.count(outcome)
    ]
    if not parts:
        return ""
    return f"{shortened(parts)}. These runs count in all comparisons. With a lower base LR, fewer runs may fail."


def tails(answer: Answer) -> str:
    """Return a warning if the arms that may be the best have figures with heavy tails, otherwise an empty string."""
    may_be = answer.may_be_best
    if len(may_be) < 2:
        return ""
    if not heavy_tails(comparable_figures(may_be, answer.scale.metric), may_be.index(answer.leader)):
        return ""
    return (
        "Among the schedulers that may be the best, some runs end far from the others (heavy tails). With more seeds, "
        "other schedulers may have such runs too, and the answer may change. A lower base LR often helps."
    )


def edge_of_grid(findings: Findings) -> str:
    """Return advice to add a base LR for schedulers that may do better beyond the rates that were tried."""
    return " ".join(
        f"{best}; a better rate may lie beyond it. `{command}` adds {rate:g}."
        for best, command, rate in _edges(findings, falls_beyond=True)
    )


def at_edge_of_grid(findings: Findings) -> str:
    """Return a note on schedulers that do best at an edge of the grid, but are unlikely to gain much beyond it."""
    return " ".join(
        f"{best}. The shape of the validation losses suggests little gain beyond this rate; `{command}` tests one more "
        "rate."
        for best, command, _ in _edges(findings, falls_beyond=False)
    )


def _edges(findings: Findings, falls_beyond: bool) -> Iterator[tuple[str, str, float]]:
    """Yield, for each edge of the grid, text about the schedulers that do best there, a command, and a rate.

    The rate lies beyond the edge, and the command adds it to the grid. A scheduler is left out if a range test finds
    this rate unstable. Schedulers that are not needed are also left out, because another rate would have to improve
    them a lot; the baseline is never left out for this reason.

    Args:
        findings: the results of the sweep.
        falls_beyond: True to yield schedulers whose validation loss may fall further beyond the edge, False to yield
            all other schedulers.
    """
    answer = findings.answer
    losses: dict[tuple[str, str], dict[float, float]] = {}
    for group in findings.sweep.tuning:
        loss = statistics.fmean(map(final_val_loss, group.records))
        losses.setdefault(group.method, {})[group.run.lr] = loss
    arms = [group for group in answer.arms if group not in answer.not_needed or group is answer.baseline]
    for word, edge, factor in (("lowest", min, 0.5), ("highest", max, 2.0)):
        groups = [
            group
            for group in arms
            if len(tried := losses[group.method]) > 1
            and group.run.lr == edge(tried)
            and is_rate(factor * edge(tried))
            and (not (stable := findings.stable.get(group.run.optimizer)) or stable.holds(factor * edge(tried)))
            and _falls_beyond(tried, edge(tried)) == falls_beyond
        ]
        if groups:
            rate, tried = groups[0].run.lr, losses[groups[0].method]
            names = list(dict.fromkeys(group.run.scheduler for group in groups))
            does = "does" if len(names) == 1 else "do"
            grid = ",".join(f"{lr:g}" for lr in sorted({*tried, factor * rate}))
            best = f"{shortened(names)} {does} best at {rate:g}, the {word} base LR that was tried"
            yield best, f"{COMMAND} -S 'lr=[{grid}]'", factor * rate


def _falls_beyond(losses: Mapping[float, float], edge: float) -> bool:
    """Return True if the validation loss may fall further beyond an edge of the grid.

    The loss is unlikely to fall further if a parabola through the losses at the three rates nearest to the edge has its
    minimum before the edge, or if one of these losses is not finite. With fewer than three rates, the result is True.
    """
    rates = sorted(losses, key=lambda rate: abs(math.log(rate / edge)))[:3]
    if len(rates) < 3:
        return True
    if not all(math.isfinite(losses[rate]) for rate in rates):
        return False
    away = [abs(math.log(rate / edge)) for rate in rates]
    curvature, slope, _ = np.polyfit(away, [losses[rate] for rate in rates], 2)
    return not (curvature > 0 and slope < 0)


def base_lr(groups: Sequence[Group]) -> str:
    """Return a warning that the result may depend on the base LR, or an empty string if the base LRs form a grid."""
    if is_grid(group.run for group in groups):
        return ""
    by_rate: dict[float, list[str]] = {}
    for group in groups:
        by_rate.setdefault(group.run.lr, []).append(group.name)
    if len(by_rate) == 1:
        (rate,) = by_rate
        grid = ",".join(f"{times * rate:.3g}" for times in (1 / 3, 1, 3))
        return (
            f"All schedulers were trained at a base LR of {rate:g}. Another rate may suit some schedulers better and "
            f"change the answer: `{COMMAND} -S 'lr=[{grid}]'` tries three rates, and compares each scheduler "
            f"at its own best rate."
        )
    commonest = max(by_rate, key=lambda rate: len(by_rate[rate]))
    others = [
        f"{shortened(names)} {'has' if len(names) == 1 else 'have'} {rate:g}"
        for rate, names in by_rate.items()
        if rate != commonest
    ]
    grid = ",".join(f"{rate:g}" for rate in sorted(by_rate))
    return (
        f"The base LRs differ, which may explain the result: {joined(others)}, all other schedulers have "
        f"{commonest:g}. `{COMMAND} -S 'lr=[{grid}]'` trains every scheduler at each of these rates."
    )


def final_lr(confound: Confound) -> str:
    """Return a note that the final LR may explain the results, or an empty string if its effect is not significant."""
    if math.isnan(confound.p) or confound.p > 1 - LEVEL:
        return ""
    lower = "lower" if confound.rho < 0 else "higher"
    return (
        f"Schedules that end at a {lower} rate do better here (rank correlation {abs(confound.rho):.2f}, "
        f"p = {confound.p:.1g}), so the final rate may explain much of the difference between schedules."
    )


def next_step(findings: Findings) -> str:
    """Return advice on how to continue an open or provisional sweep, or an empty string for any other sweep."""
    answer = findings.answer
    if answer.kind == "nothing":
        return ""
    if answer.budget is None and (answer.kind == "open" or answer.is_provisional):
        return f"`{COMMAND} -S seeds=auto` adds seeds until the answer is known; finished runs are not trained again."
    if answer.kind == "open":
        arms = len(answer.arms)
        budget = max(2 * (answer.budget or 0), 20 * arms)
        return f"`{COMMAND} -S budget={budget}` continues this sweep; finished runs are not trained again."
    return ""
