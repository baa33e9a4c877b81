"""`cifar10-lenet`: eight schedulers, one epoch, in the published way, and in ours.

The published way is a DataLoader with two processes over pictures that become normalised tensors one by one, batches of
four, and one run after another. As each of its runs takes as long as the other, one of them is timed in a round and
counted for all. How long a step takes does not depend on what is in the pictures: these are noise, so that nothing need
be downloaded.
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, ToTensor

from pipeline import data, models
from pipeline.data import Part
from tests.benchmarks.common import alternately, prepared, ratios, runs, show, swept
from tests.benchmarks.mnist_mlp import SCHEDULERS


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's CIFAR10 is: an array of bytes, of which each example becomes a picture, and then a tensor."""

    def __init__(self, part: Part) -> None:
        self.pixels = part.x.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = part.y.tolist()
        self.transform = Compose([ToTensor(), Normalize((0.5,) * 3, (0.5,) * 3)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def published(part: Part) -> float:
    """Seconds of one epoch."""
    (run,) = runs("cifar10-lenet", len(part), scheduler="step", seeds=1)
    network = models.build(run.model, (3, 32, 32), 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(Pictures(part), batch_size=4, shuffle=True, num_workers=2)
    running = 0.0
    begun = time.perf_counter()
    for x, y in loader:
        optimizer.zero_grad()
        loss = criterion(network(x), y)
        loss.backward()
        optimizer.step()
        running += loss.item()
    return time.perf_counter() - begun


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    examples: Annotated[int, typer.Option(min=100, help="Pictures of an epoch; CIFAR-10 has 50,000.")] = 8000,
) -> None:
    noise = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as pictures:
        for number in range(round(examples / 0.7) // 10 * 10):
            place = Path(pictures) / str(number % 10)
            place.mkdir(exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (32, 32, 3), np.uint8)).save(place / f"{number}.png")
        dataset = {"name": "image-folder", "path": pictures, "size": [32, 32], "channels": 3}
        with prepared(dataset | {"val_share": 0.1, "test_share": 0.2}) as folder:
            part = data.read(folder, "train")
            changes = {"tasks__cifar10-lenet__epochs": 1, "scheduler": SCHEDULERS, "seeds": 1}
            of = runs("cifar10-lenet", len(part), **changes)
            ways = {"published": lambda: len(of) * published(part), "ours": lambda: swept(of, folder)}
            found = alternately(rounds, ways)
    steps = len(of) * len(part) / 4
    rows = [
        ("times faster than the published way", ratios(found["published"], found["ours"])),
        ("milliseconds a step, published", f"{1000 * min(found['published']) / steps:.2f}"),
        ("milliseconds a step, ours, of all cores together", f"{1000 * min(found['ours']) / steps:.2f}"),
    ]
    show(f"cifar10-lenet: {len(of)} runs of one epoch of {len(part):,} pictures", rows)


if __name__ == "__main__":
    typer.run(main)
