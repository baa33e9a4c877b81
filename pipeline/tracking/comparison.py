"""Functions that create MLflow runs for a whole sweep: one with the verdict, and one per group with its mean curve."""

import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.groups import Group
from pipeline.comparison.statistics import standard_deviation
from pipeline.datasets import Language, Summary, Target
from pipeline.errors import plural
from pipeline.report import results_folder
from pipeline.report.arms import arms, key
from pipeline.report.wording import VERDICTS, headline, verdict
from pipeline.runs.params import Params
from pipeline.runs.records import Record
from pipeline.tracking.charts import NOTE
from pipeline.tracking.client import COMPARISON, GROUP, KIND, OWN_LR, VERDICT, Metric, Param
from pipeline.tracking.entities import epoch_figures, final_metrics, mean_figures
from pipeline.tracking.writers import SWEEPS, EndedRun

COUNTS = {"better": "better", "worse": "worse", "equivalent": "equivalent", "open": "unresolved"}
"""Maps each verdict to the name of the metric that counts the arms with that verdict."""


def comparison_fingerprint(params: Params, data: Summary, records: Sequence[Record]) -> str:
    """Return a digest of everything that a verdict depends on, except this project's code."""
    seeds = "auto" if params.run_seeds is None else "fixed seeds"
    rules = f"{params.run_metric} against {params.baseline}, margin {params.run_margin:g}, {seeds}"
    return _digest([rules, data.digests["test"], [(record.run.name, record.fingerprint) for record in records]])


def comparison_run(findings: Findings, params: Params, tags: Mapping[str, str], folder: Path) -> EndedRun:
    """Return an MLflow run with the tags ``tags`` that holds the verdict on a sweep and the report in ``folder``."""
    now, words = round(time.time() * 1000), verdict(findings)
    tags = {**tags, KIND: COMPARISON, VERDICT: words, NOTE: words}
    settings = [Param(name, str(value)) for name, value in _settings(params, findings).items()]
    files = [folder / name for name in results_folder.WRITTEN]
    return EndedRun(COMPARISON, now, now, tags, settings, final_metrics(_figures(findings), now), files)


def recommended(answer: Answer) -> Group | None:
    """Return the group that an answer recommends, or None if the answer is open or provisional."""
    if answer.is_provisional or answer.kind == "open":
        return None
    return answer.baseline if answer.kind == "baseline" else answer.good_enough[0]


def champion_tags(record: Record, findings: Findings) -> dict[str, str]:
    """Return the tags of a registered model: its scheduler with all settings, its base LR, and the verdict."""
    settings = json.dumps(record.run.schedule.model_dump(by_alias=True))
    tags = {"scheduler": record.run.scheduler, "settings": settings, "lr": f"{record.run.lr:g}"}
    return tags | {VERDICT: headline(findings)}


def group_run(group: Group, tags: Mapping[str, str], has_own_lr: bool, units: Target | Language | None) -> EndedRun:
    """Return the MLflow run that holds the mean curve of a group.

    MLflow's charts load at most a hundred runs. A sweep may have more runs, so the charts show one MLflow run for each
    group. Each figure of an epoch is the mean over the seeds. Figures whose names end in ``/low`` or ``/high`` are one
    standard deviation below or above the mean. ``has_own_lr`` is True if the group was trained at its scheduler's own
    base LR. ``units`` converts losses to readable figures.
    """
    now, run, seeds = round(time.time() * 1000), group.run, len(group.records)
    fingerprint = _digest([tags[SWEEPS], [record.fingerprint for record in group.records]])
    method = {"scheduler": run.scheduler, "optimizer": run.optimizer}
    settings = {**method, "lr": run.lr, "seeds": seeds}
    figures = {"seeds": seeds, **mean_figures(group.test_figures, units)}
    return EndedRun(
        name=f"{group.name} ({plural(seeds, 'seed')})",
        started=now,
        ended=now,
        tags={**tags, **method, KIND: GROUP, "fingerprint": fingerprint, OWN_LR: str(has_own_lr).lower()},
        params=[Param(name, str(value)) for name, value in settings.items()],
        metrics=[*_mean_curve(group, now), *final_metrics(figures, now)],
    )


def _mean_curve(group: Group, now: int) -> list[Metric]:
    """For each epoch that all runs recorded, return each figure's mean and bounds one standard deviation from it."""
    means = []
    for epochs in zip(*(record.epochs for record in group.records), strict=False):
        step, rows = epochs[0].epoch, [epoch_figures(epoch) for epoch in epochs]
        for name in [name for name in rows[0] if all(name in row for row in rows)]:
            values = [row[name] for row in rows]
            mean = statistics.fmean(values)
            means.append(Metric(name, mean, now, step))
            if name != "lr" and len(values) > 1:
                deviation = standard_deviation(values)
                means.append(Metric(f"{name}/low", mean - deviation, now, step))
                means.append(Metric(f"{name}/high", mean + deviation, now, step))
    return means


def _figures(findings: Findings) -> dict[str, float]:
    """Return the figures of a comparison: the number of arms per verdict, the number of runs, and each arm's gain."""
    compared = {key(arm.group, findings.answer): arm.comparison for arm in arms(findings) if arm.comparison}
    words = [comparison.verdict for comparison in compared.values()]
    counts = {COUNTS[word]: words.count(word) for word in VERDICTS}
    differences = {f"difference/{name}": comparison.gain for name, comparison in compared.items()}
    return {**counts, "runs": findings.answer.runs, **differences}


def _settings(params: Params, findings: Findings) -> dict[str, object]:
    """Return the settings of a sweep, without the settings of the individual schedulers."""
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
