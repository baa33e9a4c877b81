"""Measure the memory that a sweep of `mnist-mlp` takes in total, and how much each further worker adds.

Memory is the proportional set size, which counts shared pages only once. This works only on Linux.
"""

import tempfile
import threading
import time
from pathlib import Path
from typing import Annotated

import psutil
import typer

from pipeline.datasets.mnist import MNIST
from pipeline.sweep.pool import Workers
from tests.benchmarks.common import prepared, runs, show
from tests.sweep.sweeping import trained


def idle(seconds: float) -> None:
    """Occupy as much memory as a worker that has computed something but has read no data."""
    import torch

    weight = torch.rand(784, 512, requires_grad=True)
    (torch.rand(128, 784) @ weight).sum().backward()
    time.sleep(seconds)


def peak(jobs: int, folder: Path | None) -> float:
    """Return the peak memory in MB of this process and its descendants while ``jobs`` workers train.

    If ``folder`` is None, there are no data, and the workers are idle.
    """
    highest, over = 0, threading.Event()

    def watch() -> None:
        nonlocal highest
        while not over.wait(0.1):
            taken = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    taken += process.memory_full_info().pss
                except psutil.Error:
                    continue
            highest = max(highest, taken)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with tempfile.TemporaryDirectory() as scratch, Workers(jobs, "cpu") as workers:
        if folder is None:
            list(workers.work(idle, [2.0] * jobs))
        else:
            changes = {"tasks__mnist-mlp__epochs": 1, "scheduler": "constant", "seeds": 2 * jobs}
            list(trained(workers, runs("mnist-mlp", 55_000, **changes), folder, Path(scratch), stack_size=1))
    time.sleep(0.2)
    over.set()
    watcher.join()
    return highest / 1e6


def main(most: Annotated[int, typer.Option(min=2, help="Most workers.")] = 4) -> None:
    with prepared(MNIST()) as folder:
        found = {jobs: peak(jobs, folder) for jobs in (1, 2, most)}
    own = (peak(most, None) - peak(1, None)) / (most - 1)
    further = (found[most] - found[1]) / (most - 1)
    rows = [(f"MB in total, {jobs} workers", f"{taken:,.0f}") for jobs, taken in found.items()]
    rows.append(("MB a further worker", f"{further:.0f}"))
    rows.append(("of which torch's own", f"{own:.0f}"))
    show("mnist-mlp: memory", rows)


if __name__ == "__main__":
    typer.run(main)
