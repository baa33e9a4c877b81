"""What the stages share: the folders, the machine, the prepared data, the trained runs, MLflow."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import datasets
from pipeline.comparison.groups import is_grid
from pipeline.errors import UserError, plural
from pipeline.files import root as root
from pipeline.losses import LOSSES
from pipeline.runs import records
from pipeline.runs.params import FILE, FIRST_SEEDS
from pipeline.sweep.engines.local import gpus
from pipeline.sweep.pool import Workers
from pipeline.sweep.rounds import first_round

if TYPE_CHECKING:
    from pipeline.datasets import Summary
    from pipeline.runs.params import Params, Run
    from pipeline.runs.records import Record
    from pipeline.tracking.tracker import Tracker

PLAN, DATA, MODELS, RESULTS, CACHE = (Path(name) for name in ("plan", "data", "models", "results", ".cache"))
BATCHES = 100
"""Batches of an epoch where the data are not here to count."""


@dataclass(frozen=True)
class Machine:
    """What a command may use to compute. The kind of device can change bits, the number of processes cannot."""

    jobs: int | None = None
    """Processes; None: one for each GPU that is used, or for each core."""
    device: str = "auto"
    cluster: str | None = None
    """HOST:PORT of the head of a Ray cluster, or `auto`; None: this machine alone."""

    @property
    def cores(self) -> int:
        """Cores that this process may use; a container's limit counts."""
        import joblib

        return self.jobs or int(joblib.cpu_count())

    @property
    def processes(self) -> int:
        """Processes that train on this machine: one for each GPU that is used, or for each core."""
        if self.jobs:
            return self.jobs
        if self.device.startswith("cuda:"):
            return 1
        return (gpus() if self.device in ("auto", "cuda") else 0) or self.cores

    def workers(self, number: int, runs: "Sequence[Run]", console: Console) -> Workers:
        """Start workers, or join the cluster.

        Args:
            number: the most that are wanted; on this machine, no more than there are cores.
            runs: of the task, for what a cluster's nodes need.
            console: where to print.
        """
        if self.cluster is None:
            return Workers(min(self.processes, number), self.device)
        from pipeline.sweep.engines.cluster import ClusterEngine
        from pipeline.sweep.engines.shipping import Shipment

        shipment = Shipment.of(runs, DATA)
        engine = ClusterEngine(self.cluster, number, self.jobs, self.device, shipment, partial(warn, console))
        console.print(
            f"cluster at {engine.address}: room for {plural(engine.room, 'worker')}, device {engine.device}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        workers = Workers(engine.room, engine.device, engine)
        workers.begin()  # nodes import torch from now on; on this machine, what forks workers already does
        return workers

    def threads(self, workers: Workers) -> int:
        """Return the cores that there are for a run."""
        return 1 if self.cluster is not None else max(1, self.cores // workers.jobs)


def warn(console: Console, line: str) -> None:
    """Print a warning, in one line."""
    console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)


def prepared_data(params: "Params") -> "Summary":
    """Return the summary of the data in data/, which must be the task's."""
    prepared = datasets.summary(DATA)
    needed = params.run_task.dataset.resolve()
    if prepared.settings != needed:
        name = f"{needed['name']} with other settings" if prepared.dataset == needed["name"] else needed["name"]
        raise UserError(
            f"{DATA} holds {prepared.dataset}, but {params.task} is trained on {name}; run `uv run pipeline download`"
        )
    check_loss(params, prepared)
    return prepared


def check_loss(params: "Params", prepared: "Summary") -> None:
    """Check that the task's loss fits its data; of a table, only the prepared data say whether it has classes.

    Raises:
        UserError: it does not.
    """
    task = params.run_task
    if LOSSES[task.loss].has_classes == bool(prepared.classes):
        return
    allowed = [loss for loss in task.dataset.losses if LOSSES[loss].has_classes == bool(prepared.classes)]
    what = f"{len(prepared.classes)} classes" if prepared.classes else "numbers to predict"
    raise UserError(
        f"{FILE}: tasks.{params.task}.loss: {task.loss} does not fit {prepared.source}, which has {what}; "
        f"allowed: {', '.join(allowed)}"
    )


def batches_of_an_epoch(params: "Params") -> int:
    """Count the batches of an epoch of the task; with `accumulate`, the steps of the optimizer.

    Without the task's data it is a number that serves for lengths in epochs.

    Raises:
        UserError: the data are not here, and a chosen scheduler has lengths in optimizer steps.
    """
    task = params.run_task
    if task.train_subset is not None:
        return math.ceil(task.train_subset / task.examples_per_step)
    try:
        return math.ceil(prepared_data(params).examples["train"] / task.examples_per_step)
    except UserError:
        for name in params.chosen_schedulers():
            if params.schedule(name)[0].in_optimizer_steps:
                raise UserError(
                    f"{name} has lengths in optimizer steps, and the data of {params.task} are not here to count those "
                    f"of an epoch; run `uv run pipeline download` with `task: {params.task}` in params.yaml"
                ) from None
        return BATCHES


def with_baseline(params: "Params", console: Console) -> "Params":
    """Add the baseline to a sweep that lacks it; without a baseline there is no verdict."""
    chosen = params.chosen_schedulers()
    if params.baseline in chosen:
        return params
    console.print(
        f"{params.baseline} joins, as the baseline that others are compared with; `-S baseline={chosen[0]}` leaves it "
        "out",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return params.model_copy(update={"scheduler": [params.baseline, *chosen]})


def left_out(params: "Params") -> list[str]:
    """Return which schedulers a sweep of all has not, as they are not for its optimizers, a line each."""
    if "all" not in ([params.scheduler] if isinstance(params.scheduler, str) else params.scheduler):
        return []
    return sorted(
        f"{name} is left out: {schedule.refusal(optimizer, settings)}"
        for name, schedule in params.schedulers.items()
        for optimizer, settings in params.chosen_optimizers().items()
        if not schedule.takes(settings)
    )


def sweep_fingerprint(params: "Params", runs: "Sequence[Run]", first: str) -> str:
    """Return what tells a sweep from others, as 12 hexadecimal digits.

    Args:
        params: that ask for it.
        runs: all of a fixed sweep, or the first ten seeds of a race.
        first: the fingerprint of the first, which has the code, the data and the device in it.
    """
    rules = [params.run_metric, params.baseline, params.run_margin, params.run_seeds, params.run_budget]
    content = [first, rules, [run.flat() for run in runs]]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:12]


def trained_runs(params: "Params") -> "tuple[list[Record], records.Sweep]":
    """Return the runs of the trained sweep, which must be the task's, and their index."""
    index = records.read_sweep(MODELS)
    if index.task != params.task:
        raise UserError(f"{MODELS} holds runs of {index.task}, not of {params.task}; run `uv run pipeline train`")
    trained = [records.read(MODELS / name) for name in index.runs]
    if params.run_seeds is None and not _is_a_race(params, [record.run for record in trained]):
        raise UserError(f"{MODELS} holds other seeds than `seeds: auto` asks for; run `uv run pipeline train`")
    return trained, index


def _is_a_race(params: "Params", runs: "Sequence[Run]") -> bool:
    """Return True if each scheduler has the seeds that a race begins with, besides those that choose base LRs."""
    choosing = FIRST_SEEDS if is_grid(runs) else ()
    seeds = Counter(run.group for run in runs if run.seed not in choosing)
    most: dict[tuple[str, str], int] = {}
    for run in runs:
        most[run.method] = max(most.get(run.method, 0), seeds[run.group])
    return min(most.values()) >= first_round(len(most), params.run_budget)


def open_tracker(
    params: "Params", prepared: "Summary", console: Console, sweep: str, trains: bool = False
) -> "Tracker":
    """Open the task's experiment in MLflow; later failures of the store become warnings.

    Raises:
        UserError: the store cannot be used.
    """
    from pipeline.tracking.experiment import TrackedSweep
    from pipeline.tracking.tracker import Tracker

    return Tracker(TrackedSweep(root(), params, prepared, MODELS, sweep, trains), partial(warn, console))
