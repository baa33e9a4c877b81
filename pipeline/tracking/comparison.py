"""What is logged of a whole sweep: its verdict, and the mean curve of each group."""

import hashlib
import json
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.comparison.groups import Group
from pipeline.comparison.statistics import standard_deviation
from pipeline.datasets import Language, Target
from pipeline.runs.metric import TEST_LOSS
from pipeline.tracking.charts import NOTE
from pipeline.tracking.client import COMPARISON, FINISHED, GROUP, KIND, OWN_LR, Metric, MlflowClient, Param
from pipeline.tracking.entities import METRICS, final_metrics, in_batches, readable_figures
from pipeline.tracking.runs import Logged, Runs


@dataclass(frozen=True)
class Verdict:
    """What a sweep has found, as MLflow shows it."""

    words: str
    """All that is said."""
    fingerprint: str
    """Digest of what was compared, and by what."""
    figures: Mapping[str, float | None]
    settings: Mapping[str, object]
    """Of the sweep."""
    files: Sequence[Path]
    """The report's files and folders."""


def log_verdict(client: MlflowClient, runs: Runs, verdict: Verdict, tags: Mapping[str, str]) -> None:
    """Log a verdict as a run named `comparison`, unless the store has it; ``tags`` are those of every run."""
    found = runs.find(COMPARISON, verdict.fingerprint)
    if found is not None and found.status == FINISHED and found.tags.get("verdict") == verdict.words:
        return
    now = found.started if found else round(time.time() * 1000)
    own = {KIND: COMPARISON, "fingerprint": verdict.fingerprint, "verdict": verdict.words, NOTE: verdict.words}
    with runs.logging(found, COMPARISON, now, now, {**tags, **own}) as run:
        for file in verdict.files:
            runs.add_files(run, file, file.name if file.is_dir() else None)
        params = [] if found else [Param(key, str(value)) for key, value in verdict.settings.items()]
        client.log_batch(run.run_id, final_metrics(verdict.figures, now), params)


def log_group(
    client: MlflowClient,
    runs: Runs,
    group: Group,
    tags: Mapping[str, str],
    has_own_lr: bool = True,
    units: Target | Language | None = None,
) -> None:
    """Log the mean curve of a group as a run of its own, so that MLflow's charts have a line for it.

    Those charts load a hundred runs, and average what they have loaded. Each figure of an epoch is the mean over the
    seeds; ``/low`` and ``/high`` are one standard deviation around it.

    Args:
        client: of the store.
        runs: of the experiment.
        group: all runs of a scheduler, an optimizer and a base LR.
        tags: those of every run.
        has_own_lr: True if the base LR is the one that suits the scheduler.
        units: what turns losses into figures that are easier to read.
    """
    seeds, run = len(group.records), group.run
    name = f"{group.name} ({seeds} {'seed' if seeds == 1 else 'seeds'})"
    content = [tags["sweep"], [record.fingerprint for record in group.records]]
    fingerprint = hashlib.sha256(json.dumps(content).encode()).hexdigest()
    found = runs.find(name, fingerprint)
    if found is not None and found.status == FINISHED:
        return
    now = found.started if found else round(time.time() * 1000)
    own = {KIND: GROUP, "fingerprint": fingerprint, "scheduler": run.scheduler, "optimizer": run.optimizer}
    own[OWN_LR] = str(has_own_lr).lower()
    settings = {"scheduler": run.scheduler, "optimizer": run.optimizer, "lr": run.lr, "seeds": seeds}
    figures: dict[str, float | None] = {"seeds": seeds}
    figures |= {name.replace("_", "/", 1): mean for name, mean in group.means().items()}
    figures |= readable_figures(units, group.figures(TEST_LOSS))
    metrics = [*_mean_curve(group, now), *final_metrics(figures, now)]
    with runs.logging(found, name, now, now, {**tags, **own}) as logged:
        _log(client, logged, metrics, [Param(key, str(value)) for key, value in settings.items()])


def _log(client: MlflowClient, run: Logged, metrics: Sequence[Metric], params: Sequence[Param]) -> None:
    client.log_batch(run.run_id, params=params)
    for batch in in_batches(metrics):
        client.log_batch(run.run_id, batch)


def _mean_curve(group: Group, now: int) -> list[Metric]:
    """Return the mean figures of each epoch that every run of a group has recorded, and their band."""
    found = []
    for epochs in zip(*(record.epochs for record in group.records), strict=False):
        step = epochs[0].epoch
        for field, name in METRICS.items():
            values = [getattr(epoch, field) for epoch in epochs]
            if None in values:
                continue
            mean = statistics.fmean(values)
            found.append(Metric(name, mean, now, step))
            if field != "lr" and len(values) > 1:
                deviation = standard_deviation(values)
                found.append(Metric(f"{name}/low", mean - deviation, now, step))
                found.append(Metric(f"{name}/high", mean + deviation, now, step))
    return found
