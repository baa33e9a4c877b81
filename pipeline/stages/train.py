"""Train the sweep."""

from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console

from pipeline import records
from pipeline.errors import ExternalError
from pipeline.sweep.jobs import Trained, TrainJob
from pipeline.sweep.lint import lint_sweep
from pipeline.sweep.lock import exclusive
from pipeline.sweep.training import check
from pipeline.sweep.training import train as train_runs

if TYPE_CHECKING:
    from pipeline.params import Params


from pipeline.stages.common import CACHE, DATA, MODELS, Machine, open_store, prepared_data, root, warn


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
        store = open_store(params, prepared, console)
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
