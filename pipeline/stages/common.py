"""Code that several stages share: folders, the machine, messages, prepared data, trained runs and MLflow."""

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
"""The number of batches per epoch to assume if the task's data are not prepared."""


@dataclass(frozen=True)
class Machine:
    """The processes and the device that a command uses.

    Results do not depend on the number of processes. On another kind of device, the last digits of results can differ.
    """

    jobs: int | None = None
    """Number of processes; by default, one for each GPU in use or, without a GPU, one for each core."""
    device: str = "auto"
    cluster: str | None = None
    """HOST:PORT of the head of a Ray cluster, or `auto`; by default, only this machine is used."""

    @property
    def cores(self) -> int:
        """`jobs` if it is set, otherwise the number of cores that this process may use, which a container can limit."""
        import joblib

        return self.jobs or int(joblib.cpu_count())

    @property
    def processes(self) -> int:
        """Number of processes that train on this machine; see `jobs`."""
        if self.jobs:
            return self.jobs
        if self.device.startswith("cuda:"):
            return 1
        return (gpus() if self.device in ("auto", "cuda") else 0) or self.cores

    def workers(self, number: int, runs: "Sequence[Run]", console: Console) -> Workers:
        """Start workers on this machine, or join the Ray cluster if `cluster` is set.

        Args:
            number: the maximum number of workers. Without a cluster, at most `processes` workers are started.
            runs: the task's runs. The nodes of a cluster get the files that these runs need.
            console: prints messages.
        """
        if self.cluster is None:
            return Workers(min(self.processes, number), self.device)
        from pipeline.sweep.engines.cluster import ClusterEngine
        from pipeline.sweep.engines.shipping import Shipment

        shipment = Shipment.of(runs, DATA)
        engine = ClusterEngine(self.cluster, number, self.jobs, self.device, shipment, partial(warn, console))
        say(console, f"cluster at {engine.address}: room for {plural(engine.room, 'worker')}, device {engine.device}")
        workers = Workers(engine.room, engine.device, engine)
        workers.begin()  # starts the workers now, so they import torch while this process continues
        return workers

    def threads(self, workers: Workers) -> int:
        """Return the number of cores that each worker uses for a run."""
        return 1 if self.cluster is not None else max(1, self.cores // workers.jobs)


def say(console: Console, line: str) -> None:
    """Print a message as one line of plain text, without rich's markup and colours."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


def warn(console: Console, line: str) -> None:
    """Print a warning as one line."""
    console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)


def picture(path: Path | None, name: str) -> Path:
    """Return the file for a picture: ``path`` if it is given, otherwise ``name`` in results/.

    Raises:
        UserError: ``path`` does not end in .png or .svg.
    """
    if path is not None and path.suffix not in (".png", ".svg"):
        raise UserError(f"--png {path}: the name must end in .png or .svg")
    return path or RESULTS / name


def prepared_data(params: "Params") -> "Summary":
    """Return the summary of the data in data/.

    Raises:
        UserError: no data are prepared, or the data in data/ belong to another task or do not fit this task's loss.
    """
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
    """Check that the task's loss fits its data. Whether a table has classes is known only once it is prepared.

    Raises:
        UserError: the loss does not fit the data.
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
    """Return the number of optimizer steps in an epoch of the task: one per batch, or fewer with `accumulate`.

    If the task's data are not prepared, return `BATCHES`, which is accurate enough if all lengths are in epochs.

    Raises:
        UserError: the data are not prepared, but a chosen scheduler has lengths in optimizer steps.
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
                    f"{name} has lengths in optimizer steps, which need the data of {params.task}; "
                    f"run `uv run pipeline download` with `task: {params.task}` in params.yaml"
                ) from None
        return BATCHES


def with_baseline(params: "Params", console: Console) -> "Params":
    """Return the params with the baseline added to the schedulers, because there is no verdict without a baseline."""
    chosen = params.chosen_schedulers()
    if params.baseline in chosen:
        return params
    line = f"{params.baseline} is added as the baseline that the others are compared with"
    say(console, f"{line}; `-S baseline={chosen[0]}` leaves it out")
    return params.model_copy(update={"scheduler": [params.baseline, *chosen]})


def left_out(params: "Params") -> list[str]:
    """Return a line for each scheduler that `scheduler: all` leaves out, with the optimizer that rules it out."""
    if "all" not in ([params.scheduler] if isinstance(params.scheduler, str) else params.scheduler):
        return []
    return sorted(
        f"{name} is left out: {schedule.refusal(optimizer, settings)}"
        for name, schedule in params.schedulers.items()
        for optimizer, settings in params.chosen_optimizers().items()
        if not schedule.takes(settings)
    )


def sweep_fingerprint(params: "Params", runs: "Sequence[Run]", first: str) -> str:
    """Return the fingerprint of a sweep, as 12 hexadecimal digits.

    Args:
        params: the settings of the sweep.
        runs: for fixed seeds, all runs of the sweep; for a race, the runs with the first ten seeds.
        first: the fingerprint of the first run, which covers the code, the data and the device.
    """
    rules = [params.run_metric, params.baseline, params.run_margin, params.run_seeds, params.run_budget]
    content = [first, rules, [run.flat() for run in runs]]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()[:12]


def trained_runs(params: "Params") -> "tuple[list[Record], records.Sweep]":
    """Return the records of the trained sweep, and the sweep's index.

    Raises:
        UserError: there is no trained sweep, or the sweep belongs to another task or lacks seeds that a race needs.
    """
    index = records.read_sweep(MODELS)
    if index.task != params.task:
        raise UserError(f"{MODELS} holds runs of {index.task}, not of {params.task}; run `uv run pipeline train`")
    trained = [records.read(MODELS / name) for name in index.runs]
    if params.run_seeds is None and not _is_a_race(params, [record.run for record in trained]):
        raise UserError(f"{MODELS} holds other seeds than `seeds: auto` asks for; run `uv run pipeline train`")
    return trained, index


def _is_a_race(params: "Params", runs: "Sequence[Run]") -> bool:
    """Return True if each scheduler has all seeds of a race's first round, not counting seeds that choose base LRs."""
    choosing = FIRST_SEEDS if is_grid(runs) else ()
    seeds = Counter(run.group for run in runs if run.seed not in choosing)
    most: dict[tuple[str, str], int] = {}
    for run in runs:
        most[run.method] = max(most.get(run.method, 0), seeds[run.group])
    return min(most.values()) >= first_round(len(most), params.run_budget)


def open_tracker(
    params: "Params", prepared: "Summary", console: Console, sweep: str, trains: bool = False
) -> "Tracker":
    """Open the task's experiment in MLflow. If the store fails later, the tracker only warns the user.

    Raises:
        UserError: the store cannot be used.
    """
    from pipeline.tracking.experiment import TrackedSweep
    from pipeline.tracking.tracker import Tracker

    return Tracker(TrackedSweep(root(), params, prepared, MODELS, sweep, trains), partial(warn, console))
