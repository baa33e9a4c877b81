"""Shared by the benchmarks: the published way to train, ours, the machine's own matrix-product rate, and the table."""

import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from pipeline import datasets
from pipeline.datasets import Split
from pipeline.losses import LOSSES
from pipeline.runs import params
from pipeline.runs.params import Run
from pipeline.sweep.jobs import CheckJob
from pipeline.sweep.pool import Workers
from pipeline.training.building import build_network
from pipeline.training.training_set import inputs
from tests.sweep.sweeping import trained

ROOT = Path(__file__).parent.parent.parent
CORES = int(joblib.cpu_count())
SCHEDULERS = ["constant", "step", "multistep", "exponential", "cosine", "onecycle", "cosine-restarts", "plateau"]
console = Console()


class Pictures(Dataset[tuple[Tensor, int]]):
    """As torchvision's data sets are: bytes, of which each example becomes a picture, and then a tensor.

    Args:
        part: the pictures.
        transform: what makes a tensor of one.
    """

    def __init__(self, part: Split, transform: Callable[[Any], Tensor]) -> None:
        pixels = part.x.permute(0, 2, 3, 1).squeeze(3).contiguous()
        grey = pixels.ndim == 3  # torchvision's MNIST keeps tensors, its CIFAR10 an array and a list
        self.pixels: Any
        self.labels: Any
        self.pixels, self.labels = (pixels, part.y) if grey else (pixels.numpy(), part.y.tolist())
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(np.asarray(self.pixels[index]))), int(self.labels[index])


def epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    criterion: Callable[[Tensor, Tensor], Tensor],
    examples: Iterable[Any],
    tested: Iterable[Any] = (),
) -> float:
    """Seconds of an epoch as scripts have it: batch by batch, then a pass over what it is tested on.

    Args:
        model: called with all of a batch but its last.
        optimizer: of its weights.
        criterion: of its answer and the last of a batch.
        examples: batches to train on.
        tested: batches to count right answers of.
    """
    begun, running, right = time.perf_counter(), 0.0, 0
    for *x, y in examples:
        optimizer.zero_grad()
        loss = criterion(model(*x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    with torch.no_grad():
        for *x, y in tested:
            right += int((model(*x).argmax(dim=1) == y).sum())
    return time.perf_counter() - begun


def runs(task: str, examples: int, **changes: Any) -> list[Run]:
    """The runs of a task in the project's params.yaml, some keys changed; `a__b` stands for `a.b`."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return params.load(ROOT / "params.yaml", changes={"task": task, **changed}).runs(examples)


@contextmanager
def prepared(dataset: datasets.Dataset) -> Iterator[Path]:
    """A folder with the prepared data of a data set; downloads are kept in the project's cache."""
    with tempfile.TemporaryDirectory() as folder:
        datasets.prepare(dataset, Path(folder), ROOT)
        yield Path(folder)


def swept(of: Sequence[Run], folder: Path, jobs: int = CORES, device: str = "cpu") -> float:
    """Seconds that our sweep takes to train ``of`` on the data in ``folder``: without start-up, nothing cached."""
    jobs, cores = min(jobs, len(of)), jobs
    with tempfile.TemporaryDirectory() as scratch, Workers(jobs, device) as workers:
        checked = list(workers.work(CheckJob(folder), [of[0]] * jobs))  # each has its data, and torch has warmed up
        stack_size = max(step.result.stack_size for step in checked if step.result)
        begun = time.perf_counter()
        list(trained(workers, of, folder, Path(scratch), stack_size=stack_size, threads=cores // jobs))
        return time.perf_counter() - begun


def operations(run: Run, folder: Path, to_inputs: bool = False) -> float:
    """Floating-point operations that training takes for an example, as torch counts products and convolutions.

    Args:
        run: what is trained.
        folder: with the data.
        to_inputs: with the gradient of the inputs, which nobody wants, as one counts who says "six a weight".
    """
    summary, part = datasets.summary(folder), datasets.read(folder, "train", run.workload.max_length)
    x, y = part.x[: run.workload.batch_size], part.y[: run.workload.batch_size]
    model, counter = build_network(run.workload, summary), FlopCounterMode(display=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a flag would mean on another machine
        torch.backends.mkldnn.set_flags(False)  # without oneDNN an LSTM is made of what is counted
    with counter:
        seen = inputs(x, summary, run.workload)
        seen.requires_grad_(to_inputs and seen.is_floating_point())
        LOSSES[run.workload.loss].of(model(seen), y).backward()
    return float(counter.get_total_flops()) / len(x)


def _products(seconds: float) -> float:
    """Matrix products of 128 x 784 with 784 x 512 in one thread: GFLOP/s."""
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
    """Time each way ``rounds`` times, one after the other; return seconds."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            console.print(f"round {number + 1}: {name} {found[name][-1]:.2f} s", highlight=False)
    return found


def ratios(slow: Sequence[float], fast: Sequence[float]) -> str:
    """Return the speed-up round by round: the median, and the lowest and highest."""
    each = [one / other for one, other in zip(slow, fast, strict=True)]
    return f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})"


def compare(of: Sequence[Run], folder: Path, published: Callable[[], float], rounds: int) -> None:
    """Train runs of one task the published way and ours, in turn, and print the table of what that shows.

    As each run takes as long as the other the published way, one of them is timed in a round and counted for all.

    Args:
        of: the runs.
        folder: with the data that they are trained on.
        published: trains one of them, and answers how many seconds that took.
        rounds: how often.
    """
    rates: list[float] = []

    def ours() -> float:
        rates.append(product_rate())
        return swept(of, folder)

    found = alternately(rounds, {"published": lambda: len(of) * published(), "ours": ours})
    run, rate, best = of[0], max(rates), min(found["ours"])
    count = datasets.summary(folder).examples
    needed, customary = (operations(run, folder, to_inputs) for to_inputs in (False, True))
    trained = len(of) * run.epochs * count["train"]
    passed = len(of) * run.epochs // run.workload.record_every * count["val"]  # validation, forwards only
    reached, said = ((trained * each + passed * customary / 3) / best / 1e9 for each in (needed, customary))
    rows = [
        ("times faster than the published way", ratios(found["published"], found["ours"])),
        ("seconds a run: published", f"{min(found['published']) / len(of):.3g}"),
        ("seconds a run: ours, all cores together", f"{best / len(of):.3g}"),
        ("million operations an example", f"{needed / 1e6:.3g}"),
        ("GFLOP/s", f"{reached:.3g}"),
        ("the machine's own matrix products, GFLOP/s", f"{rate:.3g}"),
        ("share of it", f"{reached / rate:.1%}"),
        ("share of it, with a gradient of the inputs counted", f"{said / rate:.1%}"),
        ("times faster, if it were nothing but products", f"{min(found['published']) / best * rate / reached:.1f}"),
    ]
    show(f"{run.task}: {len(of)} runs, {run.epochs} epochs each, {CORES} cores", rows)


def show(title: str, rows: Sequence[tuple[str, str]]) -> None:
    """A table of two columns."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
