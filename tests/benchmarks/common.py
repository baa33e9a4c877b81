"""What the benchmarks share: training the published way and our way, the rate of matrix products, and the table."""

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
    """A data set that, like torchvision's, turns the bytes of each example into a picture and then into a tensor.

    Args:
        part: the pictures.
        transform: turns a picture into a tensor.
    """

    def __init__(self, part: Split, transform: Callable[[Any], Tensor]) -> None:
        pixels = part.x.permute(0, 2, 3, 1).squeeze(3).contiguous()
        grey = pixels.ndim == 3  # torchvision's MNIST stores tensors, its CIFAR10 an array and a list
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
    """Return the seconds of an epoch that trains batch by batch and then tests, as most scripts do.

    Args:
        model: is called with all tensors of a batch except the last.
        optimizer: changes the model's weights.
        criterion: returns the loss for the model's outputs and the last tensor of a batch.
        examples: the training batches.
        tested: the test batches.
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
    """Return the runs of a task in the project's params.yaml, with some keys changed; `a__b` stands for `a.b`."""
    changed = {key.replace("__", "."): value for key, value in changes.items()}
    return params.load(ROOT / "params.yaml", changes={"task": task, **changed}).runs(examples)


@contextmanager
def prepared(dataset: datasets.Dataset) -> Iterator[Path]:
    """Prepare a data set in a temporary folder; downloaded files are kept in the project's cache."""
    with tempfile.TemporaryDirectory() as folder:
        datasets.prepare(dataset, Path(folder), ROOT)
        yield Path(folder)


def swept(of: Sequence[Run], folder: Path, jobs: int = CORES, device: str = "cpu") -> float:
    """Return the seconds that our sweep takes to train runs without a cache, not counting the start of its workers."""
    jobs, cores = min(jobs, len(of)), jobs
    with tempfile.TemporaryDirectory() as scratch, Workers(jobs, device) as workers:
        checked = list(workers.work(CheckJob(folder), [of[0]] * jobs))  # makes workers read the data and warm up torch
        stack_size = max(step.result.stack_size for step in checked if step.result)
        begun = time.perf_counter()
        list(trained(workers, of, folder, Path(scratch), stack_size=stack_size, threads=cores // jobs))
        return time.perf_counter() - begun


def operations(run: Run, folder: Path, to_inputs: bool = False) -> float:
    """Return how many floating-point operations of products and convolutions it takes to train on one example.

    Args:
        run: the run to train.
        folder: the folder with the prepared data.
        to_inputs: also count the gradient of the inputs, as the rule of "six operations per weight" does.
    """
    summary, part = datasets.summary(folder), datasets.read(folder, "train", run.workload.max_length)
    x, y = part.x[: run.workload.batch_size], part.y[: run.workload.batch_size]
    model, counter = build_network(run.workload, summary), FlopCounterMode(display=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on some machines, torch warns about this flag
        torch.backends.mkldnn.set_flags(False)  # without oneDNN, the counter sees an LSTM's products
    with counter:
        seen = inputs(x, summary, run.workload)
        seen.requires_grad_(to_inputs and seen.is_floating_point())
        LOSSES[run.workload.loss].of(model(seen), y).backward()
    return float(counter.get_total_flops()) / len(x)


def _products(seconds: float) -> float:
    """Return the GFLOP/s of products of a 128 x 784 matrix and a 784 x 512 matrix in one thread."""
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
    """Return the GFLOP/s of matrix products on this machine, with one thread on each core at the same time."""
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        list(pool.map(_products, [0.1] * CORES))
        return sum(pool.map(_products, [seconds] * CORES))


def alternately(rounds: int, ways: dict[str, Callable[[], float]]) -> dict[str, list[float]]:
    """Time the ways in turn, ``rounds`` times each; return the seconds of every round, keyed by way."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
            console.print(f"round {number + 1}: {name} {found[name][-1]:.2f} s", highlight=False)
    return found


def ratios(slow: Sequence[float], fast: Sequence[float]) -> str:
    """Return the median speed-up of the rounds, followed by the lowest and the highest."""
    each = [one / other for one, other in zip(slow, fast, strict=True)]
    return f"{statistics.median(each):.1f} ({min(each):.1f} to {max(each):.1f})"


def compare(of: Sequence[Run], folder: Path, published: Callable[[], float], rounds: int) -> None:
    """Train runs of one task the published way and our way in turn, and print a table.

    The published way takes equally long for every run, so a round times one run and multiplies by the number of runs.

    Args:
        of: the runs.
        folder: the folder with their data.
        published: trains one run the published way, and returns the seconds.
        rounds: the number of rounds.
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
    passed = len(of) * run.epochs // run.workload.record_every * count["val"]  # validation needs only forward passes
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
    """Print a table of two columns."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
