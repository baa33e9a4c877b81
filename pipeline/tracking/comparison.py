"""Runs that stand for a whole sweep: its verdict, and the mean curve of each group."""

import hashlib
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.groups import Group
from pipeline.comparison.statistics import standard_deviation
from pipeline.datasets import Language, Summary, Target
from pipeline.errors import plural
from pipeline.report import results
from pipeline.report.arms import arms, key
from pipeline.report.wording import VERDICTS, headline, verdict
from pipeline.runs.params import Params
from pipeline.runs.records import Record
from pipeline.tracking.charts import NOTE
from pipeline.tracking.client import COMPARISON, GROUP, KIND, OWN_LR
from pipeline.tracking.entities import epoch_figures, score_figures

COUNTS = {"better": "better", "worse": "worse", "equivalent": "equivalent", "open": "unresolved"}
"""MLflow's name for the number of arms with each verdict."""


@dataclass(frozen=True)
class SummaryRun:
    """A run in MLflow that was not trained."""

    name: str
    tags: Mapping[str, str]
    """Its kind and fingerprint among them."""
    params: Mapping[str, object]
    figures: Sequence[tuple[str, float, int]]
    """MLflow's name, value and step of each; step 0 for the whole run."""
    files: Sequence[Path] = ()
    """Files and folders."""


def comparison_fingerprint(params: Params, data: Summary, records: Sequence[Record]) -> str:
    """Return the digest of everything that a verdict depends on, except the code that finds it."""
    seeds = "auto" if params.run_seeds is None else "fixed seeds"
    rules = f"{params.run_metric} against {params.baseline}, margin {params.run_margin:g}, {seeds}"
    return _digest([rules, data.digests["test"], [(record.run.name, record.fingerprint) for record in records]])


def comparison_run(findings: Findings, params: Params, fingerprint: str, folder: Path) -> SummaryRun:
    """Return the run with the verdict of a sweep.

    Args:
        findings: on the sweep.
        params: of the sweep.
        fingerprint: of the comparison.
        folder: of the results.
    """
    words = verdict(findings)
    tags = {KIND: COMPARISON, "fingerprint": fingerprint, "verdict": words, NOTE: words}
    figures = [(name, value, 0) for name, value in _figures(findings).items()]
    files = [folder / name for name in results.WRITTEN]
    return SummaryRun(COMPARISON, tags, _settings(params, findings), figures, files)


def recommended(answer: Answer) -> Group | None:
    """Return the group that an answer recommends; None if it is open or provisional."""
    if answer.is_provisional or answer.kind == "open":
        return None
    return answer.baseline if answer.kind == "baseline" else answer.good_enough[0]


def champion_tags(record: Record, findings: Findings) -> dict[str, str]:
    """Return what a registered model says of itself: its schedule, and the verdict that recommends it."""
    settings = json.dumps(record.run.schedule.model_dump(by_alias=True))
    tags = {"scheduler": record.run.scheduler, "settings": settings, "lr": f"{record.run.lr:g}"}
    return tags | {"verdict": headline(findings)}


def group_run(group: Group, sweep: str, has_own_lr: bool, units: Target | Language | None) -> SummaryRun:
    """Return the run with the mean curve of a group: MLflow's charts load a hundred runs, and average no more.

    Each figure of an epoch is the mean over the seeds; ``/low`` and ``/high`` are one standard deviation around it.

    Args:
        group: all runs of a scheduler, an optimizer and a base LR.
        sweep: the fingerprint of the sweep.
        has_own_lr: True if the base LR is the scheduler's own.
        units: turns losses into figures that are easier to read.
    """
    run, seeds = group.run, len(group.records)
    fingerprint = _digest([sweep, [record.fingerprint for record in group.records]])
    method = {"scheduler": run.scheduler, "optimizer": run.optimizer}
    tags = {KIND: GROUP, "fingerprint": fingerprint, OWN_LR: str(has_own_lr).lower(), **method}
    figures = {"seeds": seeds, **score_figures(group.scores, units)}
    return SummaryRun(
        name=f"{group.name} ({plural(seeds, 'seed')})",
        tags=tags,
        params={**method, "lr": run.lr, "seeds": seeds},
        figures=[*_mean_curve(group), *((name, value, 0) for name, value in figures.items())],
    )


def _mean_curve(group: Group) -> list[tuple[str, float, int]]:
    """Return the mean figures of each epoch that every run of a group has recorded, and their band."""
    means = []
    for epochs in zip(*(record.epochs for record in group.records), strict=False):
        step, rows = epochs[0].epoch, [epoch_figures(epoch) for epoch in epochs]
        for name in [name for name in rows[0] if all(name in row for row in rows)]:
            values = [row[name] for row in rows]
            mean = statistics.fmean(values)
            means.append((name, mean, step))
            if name != "lr" and len(values) > 1:
                deviation = standard_deviation(values)
                means += [(f"{name}/low", mean - deviation, step), (f"{name}/high", mean + deviation, step)]
    return means


def _figures(findings: Findings) -> dict[str, float]:
    """Return the figures of a verdict: the number of arms with each word, and their differences from the baseline."""
    compared = {key(arm.group, findings.answer): arm.comparison for arm in arms(findings) if arm.comparison}
    words = [comparison.verdict for comparison in compared.values()]
    counts = {COUNTS[word]: words.count(word) for word in VERDICTS}
    differences = {f"difference/{name}": comparison.gain for name, comparison in compared.items()}
    return {**counts, "runs": findings.answer.runs, **differences}


def _settings(params: Params, findings: Findings) -> dict[str, object]:
    """Return the settings of a sweep, without those of single schedulers."""
    compared, seeds = findings.answer.arms, params.run_seeds
    varied = ("scheduler", "optimizer", "lr", "seed")
    common = {name: value for name, value in compared[0].run.flat().items() if name.partition(".")[0] not in varied}
    return common | {
        "scheduler": ", ".join(dict.fromkeys(arm.run.scheduler for arm in compared)),
        "optimizer": ", ".join(dict.fromkeys(arm.run.optimizer for arm in compared)),
        "lr": ", ".join(f"{lr:g}" for lr in dict.fromkeys(group.run.lr for group in findings.sweep.groups)),
        "seeds": "auto" if seeds is None else len(seeds),
        "margin": params.run_margin,
        "budget": params.run_budget if seeds is None else None,
        "baseline": params.baseline,
        "metric": params.run_metric,
    }


def _digest(content: list[object]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
