"""Time `mnist-cnn` with four schedulers for one epoch, trained the published way and our way.

The published way uses a DataLoader that normalises pictures one by one, takes batches of 64, and trains one run after
another. Our step takes 7.9 ms: over half goes into convolutions, and an eighth into drawing the masks of dropout.

We kept max pooling with channels last (7.9 ms a step instead of 9.9), the fused Adam (0.07 ms instead of 0.2), and
validation in batches of 512 (0.32 s for 5,000 pictures; batches of 1,024 take 0.39). We rejected weights with channels
last (7.5 ms, but the fused Adam and checkpoints would have to agree on the layout), and torch.compile (12.0 ms, after
22 s of compiling). With two threads, a run is 1.3 times as fast but has other bits, so a run always gets one core.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, ToTensor

from pipeline import datasets
from pipeline.datasets.mnist import MNIST
from pipeline.training.building import build_network
from tests.benchmarks.common import SCHEDULERS, Pictures, compare, epoch, prepared, runs


def published(folder: Path) -> float:
    """Return the seconds that an epoch takes when trained the published way."""
    train = Pictures(datasets.read(folder, "train"), Compose([ToTensor(), Normalize((0.1307,), (0.3081,))]))
    (run,) = runs("mnist-cnn", len(train), scheduler="constant", seeds=1)
    network = build_network(run.workload, datasets.summary(folder))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    return epoch(network, optimizer, nn.NLLLoss(), DataLoader(train, batch_size=64, shuffle=True))


def main(rounds: Annotated[int, typer.Option(min=1)] = 3) -> None:
    with prepared(MNIST()) as folder:
        changes = {"tasks__mnist-cnn__epochs": 1, "scheduler": SCHEDULERS[:4], "seeds": 1}
        of = runs("mnist-cnn", datasets.summary(folder).examples["train"], **changes)
        compare(of, folder, lambda: published(folder), rounds)


if __name__ == "__main__":
    typer.run(main)
