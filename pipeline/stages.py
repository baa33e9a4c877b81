"""The stages behind the commands: plan, download, train, evaluate, track and calibrate.

They work in the current folder, as DVC runs them: data/, models/ and results/ are there, and what outlives an
experiment (run cache, downloads, MLflow's store) is at the project's root.
"""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import data, records
from pipeline.data import user_files
from pipeline.errors import ExternalError, UserError
from pipeline.files import write_text
from pipeline.settings.models import is_user_model
from pipeline.sweep import cache, fingerprint
from pipeline.sweep.jobs import EvaluateJob, Evaluation, Trained, TrainJob
from pipeline.sweep.lint import lint_sweep
from pipeline.sweep.lock import exclusive
from pipeline.sweep.pool import Workers
from pipeline.sweep.training import check
from pipeline.sweep.training import train as train_runs

if TYPE_CHECKING:
    from pipeline.data import Summary
    from pipeline.params import Params
    from pipeline.records import Record
    from pipeline.tracking.store import Store

PLAN, DATA, MODELS, RESULTS, CACHE = (Path(name) for name in ("plan", "data", "models", "results", ".cache"))


@dataclass(frozen=True)
class Machine:
    """The processes and the device that a command may use. The kind of device can change bits, the number cannot."""

    jobs: int | None = None
    """Processes; None: all cores."""
    device: str = "auto"

    @property
    def cores(self) -> int:
        """Cores that this process may use; a container's limit counts."""
        import joblib

        return self.jobs or int(joblib.cpu_count())

    def workers(self, runs: int) -> Workers:
        """Start processes for so many runs."""
        return Workers(min(self.cores, runs), self.device)


def root() -> Path:
    """Return the project's folder. DVC tells an experiment in a temporary copy where it came from."""
    return Path(os.environ.get("DVC_ROOT") or ".")


def warn(console: Console, line: str) -> None:
    """Print a warning, in one line."""
    console.print(f"warning: {line}", style="yellow", markup=False, soft_wrap=True)


def plan(params: "Params") -> None:
    """Write down what DVC cannot see by itself: the content of the user's files, the code of the user's model.

    Raises:
        UserError: one of them does not exist.
    """
    task = params.run_task
    files = user_files.digests(task.dataset, root(), root() / CACHE / "digests.json")
    code = fingerprint.user_model_files(task.model.name)
    if is_user_model(task.model.name) and not code:
        module = task.model.name.partition(":")[0]
        raise UserError(f"model {task.model.name}: {module} is neither a module nor a package here")
    for name, content in (("data", files), ("model", code)):
        write_text(PLAN / f"{name}.json", json.dumps(content, indent=2) + "\n")


def download(params: "Params") -> "Summary":
    """Get the data of the task, and prepare them in data/."""
    return data.prepare(params.run_task.dataset.resolve(), DATA, root())


def train(params: "Params", console: Console, machine: Machine, checkpoint_every: float = 5.0) -> list[Trained]:
    """Train every run of the sweep, and track each as it ends.

    Raises:
        ExternalError: some runs could not be trained; the others are kept.
    """
    from pipeline.tracking.session import log_as_they_end

    prepared = prepared_data(params)
    runs = params.runs(prepared.examples["train"])
    complain = partial(warn, console)
    trained: list[Trained] = []
    failed: dict[str, str] = {}
    with exclusive(MODELS, root() / CACHE, complain), machine.workers(len(runs)) as workers:
        store = _store(params, prepared, console)
        job = TrainJob(DATA, MODELS, root() / CACHE, checkpoint_every, threads=machine.cores // workers.jobs)
        stackable = check(workers, DATA, runs[0])  # all are alike in what it looks at
        for line in lint_sweep(workers, runs):
            complain(line)
        records.clear(MODELS)
        with log_as_they_end(store, MODELS, workers.kill) as log:
            # Seed by seed: soon there is something of every scheduler to see, here and among the latest 100 runs,
            # which are all that MLflow's charts show at first.
            order = sorted(runs, key=lambda run: params.seeds.index(run.seed))
            for done in train_runs(workers, job, order, stackable, console, complain, failed):
                trained.append(done)
                log(done)
        for step in workers.work(job.fingerprint, [run for run in runs if run.name in failed]):
            if step.item is not None and step.result is not None:
                store.log_failure(step.item, step.result, failed[step.item.name])
    if failed:
        reasons = "; ".join(sorted(set(failed.values())))
        raise ExternalError(
            f"{len(failed)} of {len(runs)} runs failed ({reasons}): {', '.join(failed)}; the others are kept, and "
            "need not be trained again"
        )
    records.write_sweep(MODELS, records.Sweep(params.task, [run.name for run in runs]))
    return trained


def evaluate(params: "Params", console: Console, machine: Machine) -> None:
    """Score every trained run on the test set, write results/, and publish each scheduler's best run in MLflow."""
    from pipeline.comparison.groups import ranked
    from pipeline.comparison.wording import verdict
    from pipeline.report import results, terminal
    from pipeline.tracking.session import log_evaluations

    prepared = prepared_data(params)
    trained = trained_runs(params)
    store = None
    with machine.workers(len(trained)) as workers:
        try:
            store = _store(params, prepared, console)
        except UserError as error:
            warn(console, f"{error}; results are kept, untracked: `uv run pipeline track` logs them")
        found = _evaluated(workers, trained)
    groups, questions = results.write(RESULTS, params, prepared, trained, found)
    metric = params.run_metric
    terminal.print_ranking(console, params.task, ranked(groups, metric), metric, questions)
    terminal.print_answers(console, groups, questions, metric)
    words = verdict(groups, questions, params.baseline)
    if not questions:
        console.print(words, markup=False, highlight=False)
    if store is not None:
        log_evaluations(store, trained, found, MODELS, DATA)
        store.log_comparison(trained, _compared_by(params), [RESULTS / name for name in results.WRITTEN], words)


def track(params: "Params", console: Console, machine: Machine) -> str:
    """Log to MLflow what its store lacks of the trained sweep: it was down, or is another one now.

    Returns:
        A line that says what the store has now.

    Raises:
        ExternalError: the store failed again.
    """
    from pipeline.comparison.wording import verdict
    from pipeline.report import results
    from pipeline.tracking.session import log_evaluations

    prepared = prepared_data(params)
    trained = trained_runs(params)
    store = _store(params, prepared, console)
    lacking = [record for record in trained if store.lacks(record)]
    if lacking or store.lacks_comparison(trained, _compared_by(params)):
        with machine.workers(len(trained)) as workers:
            found = _evaluated(workers, trained)
        log_evaluations(store, trained, found, MODELS, DATA)
        with TemporaryDirectory() as folder:  # results/ may be those of another sweep
            groups, questions = results.write(Path(folder), params, prepared, trained, found)
            files = [Path(folder) / name for name in results.WRITTEN]
            words = verdict(groups, questions, params.baseline)
            store.log_comparison(trained, _compared_by(params), files, words)
    if store.failed:
        raise ExternalError("nothing is lost: try again when the store is back")
    return f"{store.uri} has all {len(trained)} runs of {params.task}, {len(lacking)} of them from now on"


def calibrate(params: "Params", console: Console, machine: Machine, sweeps: int, seeds: int) -> None:
    """Measure how often the verdict is wrong where all schedulers are one, and how small a difference it finds.

    Args:
        params: of the task; its baseline is trained.
        console: where to print.
        machine: where to train.
        sweeps: how many to make up, and to draw from real runs.
        seeds: of each scheduler in them.
    """
    from numpy.random import default_rng

    from pipeline.comparison import calibration
    from pipeline.report import terminal

    schedulers = len(params.schedulers)
    figures = _baseline_figures(params, schedulers * seeds, console, machine)
    with console.status("comparing"):
        rates = {
            "simulated, normally distributed": calibration.simulated(sweeps, schedulers, seeds, default_rng(0)),
            f"{params.task}, {len(figures)} runs of {params.baseline}": calibration.resampled(
                figures, sweeps, schedulers, seeds, default_rng(0)
            ),
        }
    deviation = calibration.paired_deviation(figures)
    tables = [calibration.power_table(calibration.SEEDS, count, deviation) for count in (1, schedulers - 1)]
    title = f"{schedulers} copies of one scheduler, {seeds} seeds each: sweeps that call any of them better or worse"
    terminal.print_false_positives(console, rates, title)
    terminal.print_power(console, tables, params.run_metric, deviation)


def _baseline_figures(params: "Params", seeds: int, console: Console, machine: Machine) -> list[float]:
    """Return the metric of runs of the baseline that differ in their seeds; models/ is left as it is."""
    pool = params.model_copy(update={"scheduler": params.baseline, "seeds": list(range(seeds))})
    runs = pool.runs(prepared_data(params).examples["train"])
    runs = [run for run in runs if run.group == runs[0].group]  # of several optimizers and base LRs, the first
    complain = partial(warn, console)
    with (
        TemporaryDirectory() as folder,
        exclusive(MODELS, root() / CACHE, complain),
        machine.workers(len(runs)) as workers,
    ):
        models = Path(folder)
        job = TrainJob(DATA, models, root() / CACHE, threads=machine.cores // workers.jobs)
        stackable = check(workers, DATA, runs[0])
        trained = [done.record for done in train_runs(workers, job, runs, stackable, console, complain)]
        found = _evaluated(workers, trained, models)
    return [getattr(found[run.name].score, params.run_metric) for run in runs]


def prepared_data(params: "Params") -> "Summary":
    """Return the summary of the data in data/, which must be the task's."""
    prepared = data.summary(DATA)
    needed = params.run_task.dataset.resolve()
    if prepared.settings != needed:
        name = f"{needed['name']} with other settings" if prepared.dataset == needed["name"] else needed["name"]
        raise UserError(
            f"{DATA} holds {prepared.dataset}, but {params.task} is trained on {name}; run `uv run pipeline download`"
        )
    return prepared


def trained_runs(params: "Params") -> "list[Record]":
    """Return the runs of the trained sweep, which must be the task's."""
    index = records.read_sweep(MODELS)
    if index.task != params.task:
        raise UserError(f"{MODELS} holds runs of {index.task}, not of {params.task}; run `uv run pipeline train`")
    return [records.read(MODELS / name) for name in index.runs]


def _evaluated(workers: Workers, trained: "Sequence[Record]", models: Path = MODELS) -> dict[str, Evaluation]:
    """Evaluate the runs in ``models``; by their names."""
    steps = workers.work(EvaluateJob(DATA, models), trained)
    return {step.item.run.name: step.result for step in steps if step.item is not None and step.result is not None}


def ui(params: "Params", host: str, port: int | None) -> tuple[dict[str, str], Callable[[], None]]:
    """Find the pages of MLflow's UI that matter.

    Returns:
        Links, by what they show; and what starts the UI, and returns where the store is a server already.
    """
    from pipeline.comparison.groups import best_runs
    from pipeline.tracking.client import store_uri
    from pipeline.tracking.ui import choose_port, links, serve

    best: list[Record] = []
    with suppress(UserError):  # without a trained sweep there is nothing to compare, but all else to see
        best = best_runs(trained_runs(params))
    uri = store_uri(root())
    if uri.startswith("http"):
        return links(root(), uri.rstrip("/"), params.task, best), lambda: None
    port = choose_port(host, port)
    found = links(root(), f"http://{host}:{port}", params.task, best)
    return found, partial(serve, root(), host, port)


def _compared_by(params: "Params") -> str:
    return f"{params.run_metric} against {params.baseline}"


def _store(params: "Params", prepared: "Summary", console: Console) -> "Store":
    from pipeline.tracking.store import Store

    def timing(record: "Record") -> "records.Timing | None":
        return cache.timing(root() / CACHE / cache.RUNS / record.fingerprint)

    return Store(root(), params.task, params.run_task, prepared, partial(warn, console), timing)
