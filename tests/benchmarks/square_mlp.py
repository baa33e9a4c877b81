"""`square-mlp`: three schedulers, five seeds, in the published way, and in ours.

The published way computes example by example, draws a point a run's epoch with matplotlib, and trains one network after
another. As each of its runs takes as long as the other, one is timed in a round and counted for all.
"""

import time
from typing import Annotated

import matplotlib as mpl
import torch
import typer

from pipeline import data, models
from pipeline.data import Part
from tests.benchmarks.common import alternately, prepared, ratios, runs, show, swept

SCHEDULERS = ["cosine", "exponential", "constant"]


def published(part: Part, epochs: int) -> float:
    """Seconds of one run."""
    mpl.use("agg")
    from matplotlib import pyplot

    (run,) = runs("square-mlp", len(part), scheduler="exponential", seeds=1)
    network = models.build(run.model, (1,), 1)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0005)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.99995)
    figure, axes = pyplot.subplots()
    begun = time.perf_counter()
    for epoch in range(epochs):
        optimizer.zero_grad()
        total = torch.zeros(())
        for x, y in zip(part.x, part.y, strict=True):
            total = total + (network(x[None])[0, 0] - y).square()
        total.backward()
        optimizer.step()
        scheduler.step()
        axes.scatter(epoch, total.item(), color="b")
    spent = time.perf_counter() - begun
    pyplot.close(figure)
    return spent


def main(rounds: Annotated[int, typer.Option(min=1)] = 3, epochs: Annotated[int, typer.Option(min=1)] = 2000) -> None:
    with prepared({"name": "square"}) as folder:
        part = data.read(folder, "train")
        changes = {"tasks__square-mlp__epochs": epochs, "scheduler": SCHEDULERS, "seeds": 5}
        of = runs("square-mlp", len(part), **changes)
        ways = {"published": lambda: len(of) * published(part, epochs), "ours": lambda: swept(of, folder)}
        found = alternately(rounds, ways)
    rows = [
        ("times faster than the published way", ratios(found["published"], found["ours"])),
        ("seconds a run, of all cores together", f"{min(found['ours']) / len(of):.2f}"),
    ]
    show(f"square-mlp: {len(of)} runs of {epochs} epochs", rows)


if __name__ == "__main__":
    typer.run(main)
