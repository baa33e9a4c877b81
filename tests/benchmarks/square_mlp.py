"""Time `square-mlp` with three schedulers and five seeds, trained the published way and our way.

The published way trains on one example at a time, draws a point for each epoch with matplotlib, and trains one network
after another.
"""

import time
from pathlib import Path
from typing import Annotated

import matplotlib as mpl
import torch
import typer

from pipeline import datasets
from pipeline.datasets import Split
from pipeline.datasets.square import Square
from pipeline.training.building import build_network
from tests.benchmarks.common import compare, prepared, runs

SCHEDULERS = ["cosine", "exponential", "constant"]


def published(folder: Path, split: Split, epochs: int) -> float:
    """Return the seconds that a run takes when trained the published way."""
    mpl.use("agg")
    from matplotlib import pyplot

    (run,) = runs("square-mlp", len(split), scheduler="exponential", seeds=1)
    network = build_network(run.workload, datasets.summary(folder))
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0005)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.99995)
    figure, axes = pyplot.subplots()
    begun = time.perf_counter()
    for epoch in range(epochs):
        optimizer.zero_grad()
        total = torch.zeros(())
        for x, y in zip(split.x, split.y, strict=True):
            total = total + (network(x[None])[0, 0] - y).square()
        total.backward()
        optimizer.step()
        scheduler.step()
        axes.scatter(epoch, total.item(), color="b")
    spent = time.perf_counter() - begun
    pyplot.close(figure)
    return spent


def main(rounds: Annotated[int, typer.Option(min=1)] = 3, epochs: Annotated[int, typer.Option(min=1)] = 2000) -> None:
    with prepared(Square()) as folder:
        split = datasets.read(folder, "train")
        changes = {"tasks__square-mlp__epochs": epochs, "scheduler": SCHEDULERS, "seeds": 5}
        compare(runs("square-mlp", len(split), **changes), folder, lambda: published(folder, split, epochs), rounds)


if __name__ == "__main__":
    typer.run(main)
