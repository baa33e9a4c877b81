"""Time 1,000 jobs of known length, and the parent's own work, on a cluster of 1 to 8 logical nodes on this machine.

The jobs only sleep, so two cores can stand for eight nodes. Everything else is real: through Ray, the jobs return the
record and weights of a run of digits-mlp, which go to the run cache, to models/ and to an MLflow store. With more
nodes, jobs are longer, so that each row of the table takes a minute. Real jobs are hardly shorter: a stack of 16 runs
of digits-mlp takes 0.6 s.

A node takes about 0.5 GB of memory, for a raylet and a worker that has imported torch.
"""

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from pipeline import datasets
from pipeline.datasets.digits import Digits
from pipeline.runs import params
from pipeline.stages.common import CACHE, DATA, MODELS, root
from pipeline.sweep.cache import RunCache
from pipeline.sweep.engines.cluster import ClusterEngine
from pipeline.sweep.engines.shipping import Shipment
from pipeline.sweep.execution import train
from pipeline.sweep.jobs import TrainJob
from pipeline.sweep.pool import Workers
from pipeline.tracking.experiment import TrackedSweep
from pipeline.tracking.tracker import Tracker
from tests.benchmarks.common import ROOT, show
from tests.helpers.clusters import cluster

SLEEPING = """
import os, time
from dataclasses import dataclass, replace
@dataclass(frozen=True)
class Sleep:
    outcome: object
    seconds: float
    def __call__(self, runs):
        time.sleep(self.seconds * len(runs))
        record = self.outcome.record
        return [replace(self.outcome, record=replace(record, run=run, fingerprint=found)) for run, found in runs]
def process(seconds):
    time.sleep(seconds)
    return os.getpid()
"""
"""A module for the nodes, whose job sleeps for a given time and then returns an outcome that was trained before."""


def measured(address: str, nodes: int, jobs: int, seconds: float) -> tuple[float, float]:
    """Return the seconds and the parent's processor time that a sweep takes; the clock starts once all nodes work."""
    from sleeping import Sleep, process  # type: ignore[import-not-found]

    wanted = params.load(changes={"seeds": jobs, "scheduler": "cosine", "baseline": "cosine", "lr": 0.1})
    prepared, runs = datasets.summary(DATA), wanted.runs(1077)
    quiet, shipment = Console(quiet=True), Shipment.of(runs, DATA)
    shipment.code["sleeping.py"] = Path("sleeping.py")
    scratch = Path(tempfile.mkdtemp(dir="."))
    with Workers(0, "cpu", ClusterEngine(address, nodes, None, "cpu", shipment)) as workers:
        cache = RunCache(DATA, scratch / MODELS, scratch / CACHE, workers.handshake())
        job = TrainJob(DATA, (scratch / "checkpoints").absolute())
        (outcomes,) = [step.result for step in workers.work(job, [[(runs[0], "first")]]) if step.result]
        while len({update.result for update in workers.work(process, [0.5] * nodes)} - {None}) < nodes:
            pass  # some nodes have not started yet
        sweep = TrackedSweep(root(), wanted, prepared, scratch / MODELS, f"{nodes} {seconds}", trains=True)
        tracker = Tracker(sweep, typer.echo)
        begun, used = time.perf_counter(), time.process_time()
        with tracker.training(workers.kill, 5.0):
            sleep = Sleep(outcomes[0], seconds)
            for ended in train(workers, sleep, cache, runs, 1, quiet, typer.echo):
                tracker.finish(ended)
        return time.perf_counter() - begun, time.process_time() - used


def main(
    jobs: Annotated[int, typer.Option(min=10)] = 1000,
    row: Annotated[float, typer.Option(help="Seconds of a row at an efficiency of 100%.")] = 60.0,
    most: Annotated[int, typer.Option(help="Most nodes.")] = 8,
) -> None:
    rows = []
    with tempfile.TemporaryDirectory() as project, cluster() as ours:
        os.chdir(project)
        (Path(project) / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
        (Path(project) / "sleeping.py").write_text(SLEEPING)
        sys.path.insert(0, project)
        datasets.prepare(Digits(), DATA, Path(project))
        os.environ.update(ours.environment())
        nodes = 0
        for wanted in [count for count in (1, 2, 4, 8) if count <= most]:
            for _ in range(wanted - nodes):
                ours.add()
            nodes = wanted
            seconds = row * nodes / jobs
            wall, used = measured(ours.address, nodes, jobs, seconds)
            rows.append((f"{nodes} nodes, jobs of {seconds:.2f} s: efficiency", f"{row / wall:.1%}"))
            rows.append(("the parent's share of a core", f"{used / wall:.0%}"))
        wall, used = measured(ours.address, nodes, jobs, 0.0)
        rows.append(("jobs that do not sleep: runs a second", f"{jobs / wall:.0f}"))
        rows.append(("runs a second of the parent's processor time", f"{jobs / used:.0f}"))
        show(f"{jobs} jobs on a cluster", rows)  # now, because the end of the block removes all files, which takes long


if __name__ == "__main__":
    typer.run(main)
