"""Time `mnist-mlp` with eight schedulers, trained the published way and our way.

The published way uses a DataLoader that converts pictures one by one, passes over the test set after each epoch, and
trains one run after another. Our way passes over the validation set after each epoch.

A batch takes 4.6 ms in one thread. Matrix products take 3.2 ms of it, because the weights do not fit into the core's
cache, so the last line of the table is an upper limit for the speed-up. We kept the fused SGD (0.14 ms instead of 0.20)
and `index_select` (0.03 ms a batch instead of 0.09). We gained nothing from torch.compile (4.5 ms before and after),
from a stack of eight (products of 128 x 784 x 4096 run at three quarters of the rate), from gradients and ReLU in place
(within the noise), or from other batch sizes for validation (60 to 68 ms for 5,000 pictures). The matrix products of
oneDNN are a tenth faster than MKL's, but can be called only by private functions. If a run has both cores to itself,
two threads are 1.5 times as fast as one, with the same bits.
"""

import shutil
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import ToTensor

from pipeline import datasets
from pipeline.datasets.mnist import MNIST
from pipeline.training.building import build_network
from tests.benchmarks.common import CORES, SCHEDULERS, Pictures, compare, epoch, prepared, runs, show, swept


def published(folder: Path, epochs: int) -> float:
    """Return the seconds that a run takes when trained the published way."""
    train, test = (Pictures(datasets.read(folder, part), ToTensor()) for part in ("train", "test"))
    (run,) = runs("mnist-mlp", len(train), scheduler="cosine", seeds=1)
    network = build_network(run.workload, datasets.summary(folder))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=1e-6)
    loaders = DataLoader(train, batch_size=128, shuffle=True), DataLoader(test, batch_size=128)
    spent = 0.0
    for _ in range(epochs):
        spent += epoch(network, optimizer, nn.CrossEntropyLoss(), *loaders)
        scheduler.step()
    return spent


@contextmanager
def watched() -> Iterator[list[float]]:
    """Sample the utilization of the first GPU (0 to 1) five times a second; without a GPU, the list stays empty."""
    found: list[float] = []
    if (program := shutil.which("nvidia-smi")) is None:
        yield found
        return
    command = [program, "--id=0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watcher:
        try:
            yield found
        finally:
            watcher.terminate()
            found += [int(line) / 100 for line in watcher.communicate()[0].split()]


def on_device(folder: Path, epochs: int, device: str) -> None:
    """Time 1, 8 and 64 runs on a device, side by side and one after another."""
    changes = {"tasks__mnist-mlp__epochs": epochs, "scheduler": SCHEDULERS, "seeds": 8}
    of, rows = runs("mnist-mlp", datasets.summary(folder).examples["train"], **changes), []
    for count in (1, 8, 64):
        with watched() as busy:
            together = swept(of[:count], folder, device=device)
        after = swept(of[: min(count, 8)], folder, jobs=1, device=device) / min(count, 8)
        waits = f"{1 - statistics.mean(busy):.0%}" if busy else "not known"
        rows.append((f"{count} runs: seconds a run", f"{together / count:.2f}"))
        rows.append(("    one after another", f"{after:.2f}"))
        rows.append(("    share of time that the GPU waits", waits))
    show(f"mnist-mlp: {epochs} epochs on {device}, up to {CORES} processes", rows)


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    device: Annotated[str, typer.Option(help="cuda: time 1, 8 and 64 runs on a GPU instead.")] = "cpu",
) -> None:
    with prepared(MNIST()) as folder:
        if device != "cpu":
            on_device(folder, epochs, device)
            return
        changes = {"tasks__mnist-mlp__epochs": epochs, "scheduler": SCHEDULERS, "seeds": 1}
        of = runs("mnist-mlp", datasets.summary(folder).examples["train"], **changes)
        compare(of, folder, lambda: published(folder, epochs), rounds)


if __name__ == "__main__":
    typer.run(main)
