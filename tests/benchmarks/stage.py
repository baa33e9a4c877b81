"""Time the train stage of the default sweep: its fixed cost, the cost of tracking, and its time beside a busy process.

The stage runs as it does under DVC, but in a temporary folder, without cached runs, and with an empty MLflow store. The
cost of tracking is the difference from a stage without tracking that is timed in the same minute.

The finished runs of a stack go into a database store in one transaction (`pipeline.tracking.bulk`), which takes 2 ms of
processor time for a run of 12 epochs. MLflow's client would take 21 ms: 5 for `create_run`, 11 for `log_batch`
(SQLAlchemy makes an object of each of 78 rows, in four nested sessions, each of which sets three pragmas and reads the
run), 3 for `set_terminated`, and 1 for files. Once all runs have been read (1 ms a run), finding a run takes 0.2 ms.
Test figures in `evaluate` take 9 ms. Nothing was gained by turning garbage collection off, by smaller last stacks, by
truncating or keeping SQLite's journals, or by asynchronous logging, which does the same work in threads. A write-ahead
log with synchronous=NORMAL would save a fifth of the time, but it does not work on network drives, and MLflow has no
setting for it. A server that is reached over HTTP still receives its requests run by run.
"""

import multiprocessing
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pipeline import datasets
from pipeline.datasets.digits import Digits
from tests.benchmarks.common import ROOT, alternately, ratios, show

SCRIPT = """
import sys, time
from contextlib import nullcontext
from pipeline import cli
from pipeline.stages import evaluate, train
from pipeline.sweep import jobs, pool
begun, first = time.perf_counter(), []
class Nowhere:
    def training(self, stop, every):
        return nullcontext()
    def __getattr__(self, name):
        return lambda *arguments: None
if sys.argv[1] == "untracked":
    train.open_tracker = evaluate.open_tracker = lambda *arguments, **named: Nowhere()
work = pool.Workers.work
def noted(self, function, *arguments, **named):
    if isinstance(function, jobs.TrainJob):
        first.append(time.perf_counter() - begun)
    return work(self, function, *arguments, **named)
pool.Workers.work = noted
cli.train()
print("FIRST", first[0], "ALL", time.perf_counter() - begun)
"""


def stage(project: Path, way: str) -> tuple[float, float]:
    """Return the seconds until the first batch, and the seconds that the whole stage takes."""
    for name in ("models", "mlartifacts", ".cache"):
        shutil.rmtree(project / name, ignore_errors=True)
    for file in project.glob("mlflow.db*"):
        file.unlink()
    command, environment = [sys.executable, "-c", SCRIPT, way], {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    found = re.search(r"FIRST ([\d.]+) ALL ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1]), float(found[2])


def _spin() -> None:
    while True:
        pass


def main(rounds: Annotated[int, typer.Option(min=1)] = 3) -> None:
    firsts = []
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        shutil.copy(ROOT / "params.yaml", project)
        datasets.prepare(Digits(), project / "data", project)

        def tracked() -> float:
            first, whole = stage(project, "tracked")
            firsts.append(first)
            return whole

        def beside() -> float:
            neighbour = multiprocessing.Process(target=_spin, daemon=True)
            neighbour.start()
            try:
                return stage(project, "tracked")[1]
            finally:
                neighbour.kill()
                neighbour.join()

        ways: dict[str, Callable[[], float]] = {"tracked": tracked, "untracked": lambda: stage(project, "untracked")[1]}
        found = alternately(rounds, ways | {"beside a busy process": beside})
    whole = statistics.median(found["tracked"])
    added = whole - statistics.median(found["untracked"])
    rows = [
        ("seconds of the stage", f"{whole:.1f}"),
        ("seconds until the first batch", f"{min(firsts):.1f}"),
        ("seconds that tracking adds", f"{added:.1f}"),
        ("share of the stage", f"{added / whole:.0%}"),
        ("times slower beside a busy process", ratios(found["beside a busy process"], found["tracked"])),
    ]
    show("the default sweep's train stage", rows)


if __name__ == "__main__":
    typer.run(main)
