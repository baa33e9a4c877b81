"""Time `cifar10-lenet` with eight schedulers for one epoch, trained the published way and our way.

The published way uses a DataLoader with two processes that normalises pictures one by one, takes batches of four, and
trains one run after another. The time of a step does not depend on what the pictures show, so the benchmark uses noise
and downloads nothing.

With batches of four, nearly all of the time is spent on calling torch's functions. We kept stacks of four as grouped
convolutions with channels last (gradients take 0.8 ms a run instead of 1.9 on an Intel Xeon; stacks of sixteen take
0.6, but a single run would pay for fifteen idle copies), max pooling with channels last, and the fused SGD (0.05 ms
instead of 0.09). We gained nothing from torch.compile (1.6 ms), stacks by `torch.func` (1.3 ms), or grouped
convolutions with channels first (1.2 ms).
"""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import Compose, Normalize, ToTensor

from pipeline import datasets
from pipeline.datasets.image_folder import ImageFolder
from pipeline.training.building import build_network
from tests.benchmarks.common import SCHEDULERS, Pictures, compare, epoch, prepared, runs


def published(folder: Path) -> float:
    """Return the seconds that an epoch takes when trained the published way."""
    train = Pictures(datasets.read(folder, "train"), Compose([ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)]))
    (run,) = runs("cifar10-lenet", len(train), scheduler="step", seeds=1)
    network = build_network(run.workload, datasets.summary(folder))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    loader = DataLoader(train, batch_size=4, shuffle=True, num_workers=2)
    return epoch(network, optimizer, nn.CrossEntropyLoss(), loader)


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    examples: Annotated[int, typer.Option(min=100, help="Training pictures; CIFAR-10 has 50,000.")] = 8000,
) -> None:
    noise = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as pictures:
        for number in range(round(examples / 0.7) // 10 * 10):
            place = Path(pictures) / str(number % 10)
            place.mkdir(exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (32, 32, 3), np.uint8)).save(place / f"{number}.png")
        with prepared(ImageFolder(path=pictures, size=[32, 32])) as folder:
            changes = {"tasks__cifar10-lenet__epochs": 1, "scheduler": SCHEDULERS, "seeds": 1}
            of = runs("cifar10-lenet", datasets.summary(folder).examples["train"], **changes)
            compare(of, folder, lambda: published(folder), rounds)


if __name__ == "__main__":
    typer.run(main)
