"""Track what a sweep has found: the figures of each run, the best models, mean curves, the verdict, the champion."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.comparison.answer import Answer, Findings
from pipeline.comparison.groups import best_of_each
from pipeline.datasets import Summary
from pipeline.report import results_folder
from pipeline.report.arms import arms, key
from pipeline.report.wording import VERDICTS, headline, verdict
from pipeline.runs.params import Params
from pipeline.runs.records import Record
from pipeline.tracking.comparison import Verdict
from pipeline.tracking.store import Store

if TYPE_CHECKING:
    from pipeline.sweep.jobs import Evaluation

FIGURES = {"better": "better", "worse": "worse", "equivalent": "equivalent", "open": "unresolved"}
"""MLflow's name of the number of arms with each verdict."""


def log(
    store: Store,
    params: Params,
    trained: Sequence[Record],
    evaluated: "Mapping[str, Evaluation]",
    findings: Findings,
    models: Path,
    folder: Path,
    data: Path,
) -> None:
    """Log all that is known of a sweep once it is evaluated.

    A sweep with nothing to compare leaves the last verdict alone.

    Args:
        store: where to log.
        params: that the sweep was trained with.
        trained: its runs.
        evaluated: their figures, by their names.
        findings: on the sweep.
        models: the folder of the runs.
        folder: with the files of the results.
        data: the folder of the prepared data.
    """
    best = best_of_each(trained, params.run_seeds is None)
    log_evaluations(store, trained, evaluated, best, models, data)
    store.log_groups(findings.sweep)
    answer = findings.answer
    if answer.kind == "nothing":
        return
    files = [folder / name for name in results_folder.WRITTEN]
    digest = fingerprint(params, store.data, trained)
    found = Verdict(verdict(findings), digest, _figures(findings), _settings(params, findings), files)
    store.log_comparison(found)
    if (method := _recommended(answer)) is not None:
        record = next(each for each in best if each.run.method == method)
        settings = json.dumps(record.run.schedule.model_dump(by_alias=True))
        tags = {"scheduler": record.run.scheduler, "settings": settings, "lr": f"{record.run.lr:g}"}
        tags["verdict"] = headline(findings)
        store.promote(record, models / record.run.name, tags, is_free=answer.kind != "same")


def fingerprint(params: Params, prepared: Summary, records: Sequence[Record]) -> str:
    """Return the digest of everything that a comparison depends on, except the code that makes it."""
    seeds = "auto" if params.run_seeds is None else "fixed seeds"
    about = f"{params.run_metric} against {params.baseline}, margin {params.run_margin:g}, {seeds}"
    content = [about, prepared.digests["test"], [(record.run.name, record.fingerprint) for record in records]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def log_evaluations(
    store: Store,
    trained: Sequence[Record],
    evaluated: "Mapping[str, Evaluation]",
    best: Sequence[Record],
    models: Path,
    data: Path,
) -> None:
    """Log the figures of evaluated runs, and publish the best ones as models; the arguments are those of `log`."""
    for record in trained:
        if evaluation := evaluated.get(record.run.name):
            store.log_evaluation(record, models / record.run.name, evaluation.figures, evaluation.layers)
    for record in best:
        store.publish(record, models / record.run.name, data)


def _recommended(answer: Answer) -> tuple[str, str] | None:
    """Return the scheduler and optimizer that an answer recommends; None if it does not."""
    if answer.is_provisional or answer.kind == "open":
        return None
    group = answer.baseline if answer.kind == "baseline" else answer.good_enough[0]
    return None if group is None else group.method


def _figures(findings: Findings) -> dict[str, float | None]:
    """Return the figures of a verdict: how many arms have each, and how far each is from the baseline."""
    compared = {key(arm.group, findings.answer): arm.comparison for arm in arms(findings) if arm.comparison}
    verdicts = [comparison.verdict for comparison in compared.values()]
    found: dict[str, float | None] = {FIGURES[word]: verdicts.count(word) for word in VERDICTS}
    found["runs"] = findings.answer.runs
    return found | {f"difference/{name}": comparison.gain for name, comparison in compared.items()}


def _settings(params: Params, findings: Findings) -> dict[str, object]:
    """Return the settings of a sweep, those of single schedulers apart."""
    first = findings.answer.arms[0].run.flat()
    apart = ("scheduler", "optimizer", "lr", "seed")
    task = {name: value for name, value in first.items() if name.partition(".")[0] not in apart}
    seeds = params.run_seeds
    return task | {
        "scheduler": ", ".join(dict.fromkeys(arm.run.scheduler for arm in findings.answer.arms)),
        "optimizer": ", ".join(dict.fromkeys(arm.run.optimizer for arm in findings.answer.arms)),
        "lr": ", ".join(f"{lr:g}" for lr in dict.fromkeys(group.run.lr for group in findings.sweep.groups)),
        "seeds": "auto" if seeds is None else len(seeds),
        "margin": params.run_margin,
        "budget": params.run_budget if seeds is None else None,
        "baseline": params.baseline,
        "metric": params.run_metric,
    }
