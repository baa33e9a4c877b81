"""The train stage of the default sweep: its fixed cost, what tracking costs, what it takes with a busy neighbour.

In a folder of its own, with nothing cached and an empty MLflow store; it runs as DVC runs it. What tracking costs
is how long the process that talks to MLflow does so, while the workers train.
"""

import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from pipeline import data
from tests.benchmarks.common import ROOT, ratios, show

SCRIPT = """
import sys, time
from pipeline import cli, sweep, tracking
begun, first, logging = time.perf_counter(), [], 0.0
log, work = tracking.Store.log, sweep.Workers.work
def timed(*arguments):
    global logging
    start = time.perf_counter()
    log(*arguments)
    logging += time.perf_counter() - start
def noted(self, function, *arguments, **named):
    if isinstance(function, sweep.Train):
        first.append(time.perf_counter() - begun)
    return work(self, function, *arguments, **named)
tracking.Store.log, sweep.Workers.work = timed, noted
cli.train()
print("FIRST", first[0], "LOGGING", logging, "ALL", time.perf_counter() - begun)
"""


def stage(project: Path) -> tuple[float, float, float]:
    """Seconds until the first batch, in MLflow, and in all."""
    for name in ("models", "mlartifacts", ".cache"):
        shutil.rmtree(project / name, ignore_errors=True)
    for file in project.glob("mlflow.db*"):
        file.unlink()
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], cwd=project, env=environment, capture_output=True, text=True)
    found = re.search(r"FIRST ([\d.]+) LOGGING ([\d.]+) ALL ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    first, logging, whole = map(float, found.groups())
    return first, logging, whole


def _spin() -> None:
    while True:
        pass


def main(rounds: Annotated[int, typer.Option(min=1)] = 2) -> None:
    alone, beside = [], []
    with tempfile.TemporaryDirectory() as scratch:
        project = Path(scratch)
        shutil.copy(ROOT / "params.yaml", project)
        data.prepare({"name": "digits"}, project / "data", project)
        for _ in range(rounds):
            alone.append(stage(project))
            neighbour = multiprocessing.Process(target=_spin, daemon=True)
            neighbour.start()
            beside.append(stage(project))
            neighbour.kill()
            neighbour.join()
    first, logging, whole = min(alone, key=lambda each: each[2])
    rows = [
        ("seconds in all", f"{whole:.1f}"),
        ("seconds until the first batch", f"{first:.1f}"),
        ("seconds in MLflow", f"{logging:.1f}"),
        ("share of the stage", f"{logging / whole:.0%}"),
        ("times slower beside a busy process", ratios([each[2] for each in beside], [each[2] for each in alone])),
    ]
    show("the default sweep's train stage", rows)


if __name__ == "__main__":
    typer.run(main)
