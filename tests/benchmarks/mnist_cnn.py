"""`mnist-cnn`: four schedulers, one epoch, in the published way, and in ours.

The published way is a DataLoader over pictures that become normalised tensors one by one, batches of 64, and one run
after another. Over half of our step of 7.9 ms is for convolutions, and an eighth for drawing what is dropped.

Kept: max pooling of channels side by side (9.9 to 7.9 ms a step), the fused Adam (0.07 ms, with foreach or without
0.2), validation in batches of 512 (0.32 s for 5,000 pictures, in 1,024 0.39). Tried in vain: all weights so, too (7.5
ms, but then the fused Adam and a checkpoint have to agree on the layout), torch.compile (12.0 ms, after 22 s). With
two threads a run is 1.3 times as fast, but has other bits; so it is one run a core, always.
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
    """Seconds of one epoch."""
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
