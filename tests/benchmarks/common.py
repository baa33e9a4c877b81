"""What the benchmarks share: a sweep of ours, the machine's own matrix-product rate, and the table."""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
from rich.console import Console
from rich.table import Table

from pipeline import data, params
from pipeline.params import Run
from pipeline.sweep import Train, Workers, stacked

ROOT = Path(__file__).parent.parent.parent
CORES = int(joblib.cpu_count())
console = Console()


def runs(task: str, examples: int, **changes: Any) -> list[Run]:
    """The runs of a task in the project's params.yaml, some keys changed; `a__b` stands for `a.b`."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return params.load(ROOT / "params.yaml", changes={"task": task, **changed}).runs(examples)


@contextmanager
def prepared(dataset: dict[str, Any]) -> Iterator[Path]:
    """A folder with the prepared data of a data set; downloads are kept in the project's cache."""
    with tempfile.TemporaryDirectory() as folder:
        data.prepare(dataset, Path(folder), ROOT)
        yield Path(folder)


def swept(of: Sequence[Run], folder: Path, jobs: int = CORES, device: str = "auto") -> float:
    """Seconds that our sweep takes to train ``of`` on the data in ``folder``: without start-up, nothing cached."""
    with tempfile.TemporaryDirectory() as scratch, Workers(jobs, device) as workers:
        train = Train(folder, Path(scratch) / "models", Path(scratch) / "cache")
        checked = list(workers.work(train.check, [of[0]] * jobs))  # so that each has its data, and torch has warmed up
        begun = time.perf_counter()
        list(workers.work(train, stacked(of, jobs, any(step.result for step in checked))))
        return time.perf_counter() - begun


def _products(seconds: float) -> float:
    """Matrix products of 128 x 784 with 784 x 512 in one thread: GFLOP/s."""
    import torch

    torch.set_num_threads(1)
    a, b = torch.rand(128, 784), torch.rand(784, 512)
    out = a @ b
    count, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        for _ in range(50):
            torch.mm(a, b, out=out)
        count += 50
    return count * 2 * 128 * 784 * 512 / spent / 1e9


def product_rate(seconds: float = 2.0) -> float:
    """GFLOP/s of the machine's own matrix products, on all cores at once, one thread each."""
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        list(pool.map(_products, [0.1] * CORES))
        return sum(pool.map(_products, [seconds] * CORES))


def alternately(rounds: int, ways: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """What each way takes, in seconds, ``rounds`` times, one after the other."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            console.print(f"round {number + 1}: {name} {found[name][-1]:.2f} s", highlight=False)
    return found


def ratios(slow: Sequence[float], fast: Sequence[float]) -> str:
    """How many times faster, round by round: the median, and the lowest and highest."""
    each = [one / other for one, other in zip(slow, fast, strict=True)]
    return f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})"


def show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """A table of two columns."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
