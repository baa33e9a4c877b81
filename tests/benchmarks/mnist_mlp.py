"""`mnist-mlp`: eight schedulers in the published way, and in ours.

The published way is a DataLoader over pictures that become tensors one by one, and one run after another. As each of
its runs takes as long as the other, one of them is timed in a round and counted for all. Ours validates after each
epoch; the published way is spared that.
"""

import time
from typing import Annotated

import torch
import typer
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import ToTensor

from pipeline import data, models
from pipeline.data import Part
from tests.benchmarks.common import CORES, alternately, prepared, product_rate, ratios, runs, show, swept

SCHEDULERS = ["constant", "step", "multistep", "exponential", "cosine", "onecycle", "cosine-restarts", "plateau"]
WEIGHTS = 784 * 512 + 512 * 256 + 256 * 10


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """As torchvision's MNIST is: an array of bytes, of which each example becomes a picture, and then a tensor."""

    def __init__(self, part: Part) -> None:
        self.part, self.transform = part, ToTensor()

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = Image.fromarray(self.part.x[index, 0].numpy())
        return self.transform(picture), int(self.part.y[index])


def published(part: Part, epochs: int) -> float:
    """Seconds of one run."""
    (run,) = runs("mnist-mlp", len(part), scheduler="cosine", seeds=1)
    network = models.build(run.model, (1, 28, 28), 10)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=1e-6)
    criterion = nn.CrossEntropyLoss()
    loader = DataLoader(Pictures(part), batch_size=128, shuffle=True)
    begun = time.perf_counter()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(network(x), y)
            loss.backward()
            optimizer.step()
        scheduler.step()
    return time.perf_counter() - begun


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    epochs: Annotated[int, typer.Option(min=1)] = 2,
    device: str = "cpu",
    copies: Annotated[int, typer.Option(min=1, help="Seeds of each scheduler.")] = 1,
) -> None:
    with prepared({"name": "mnist"}) as folder:
        part = data.read(folder, "train")
        changes = {"tasks__mnist-mlp__epochs": epochs, "scheduler": SCHEDULERS, "seeds": copies}
        of = runs("mnist-mlp", len(part), **changes)
        rates: list[float] = []

        def ours() -> float:
            rates.append(product_rate())
            return swept(of, folder, device=device)

        found = alternately(rounds, {"published": lambda: len(of) * published(part, epochs), "ours": ours})
    best, rate = min(found["ours"]), max(rates)
    reached = len(of) * epochs * len(part) * 6 * WEIGHTS / best / 1e9
    show(
        f"mnist-mlp: {len(of)} runs of {epochs} epochs on {CORES} cores",
        [
            ("times faster than the published way", ratios(found["published"], found["ours"])),
            ("GFLOP/s, at 6 operations a weight and example", f"{reached:.0f}"),
            ("the machine's own matrix products, GFLOP/s", f"{rate:.0f}"),
            ("share of it", f"{reached / rate:.0%}"),
        ],
    )


if __name__ == "__main__":
    typer.run(main)
