"""Time `imdb-lstm` on a few batches, trained the published way and our way.

The published way packs texts of different lengths into a batch for one `nn.LSTM` with two layers and two directions. It
uses all threads, and keeps denormal numbers. The time depends only on the lengths of the texts, so the benchmark uses
random words, makes the texts as long as the reviews, and downloads nothing.

We kept the flushing of denormal numbers, batches of texts of similar length, and one `nn.LSTM` per layer and direction
instead of packed sequences (1.5 s a batch instead of 4.4 to 8). If a run has both cores to itself, two threads are 1.8
times as fast as one, with the same bits.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from pipeline import datasets
from pipeline.datasets.text_folder import TextFolder
from tests.benchmarks.common import compare, epoch, prepared, runs


class Packed(nn.Module):
    """The published network."""

    def __init__(self, vocabulary_size: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, 100, padding_idx=0)
        self.lstm = nn.LSTM(100, 256, num_layers=2, bidirectional=True, batch_first=True)
        self.output = nn.Linear(512, 1)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(dim=1).clamp(min=1)
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        _, (hidden, _) = self.lstm(packed)
        logits: Tensor = self.output(torch.cat([hidden[-2], hidden[-1]], dim=1)).squeeze(1)
        return logits


def published(folder: Path) -> float:
    """Return the seconds that an epoch takes when trained the published way."""
    part = datasets.read(folder, "train", 256)
    network = Packed(datasets.summary(folder).vocabulary_size)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    order = torch.randperm(len(part), generator=torch.Generator().manual_seed(0)).split(32)
    return epoch(
        network, optimizer, nn.BCEWithLogitsLoss(), ((part.x[batch], part.y[batch].float()) for batch in order)
    )


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 2,
    batches: Annotated[int, typer.Option(min=1, help="Batches of 32 texts; IMDb has 704.")] = 4,
) -> None:
    random = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as texts:
        for number in range(round(batches * 32 / 0.8) // 2 * 2):
            place = Path(texts) / ("neg", "pos")[number % 2]
            place.mkdir(exist_ok=True)
            length = int(random.lognormal(5.3, 0.6))
            words = (f"w{word}" for word in random.integers(0, 30_000, length))
            (place / f"{number}.txt").write_text(" ".join(words))
        with prepared(TextFolder(path=texts, val_share=0.05, test_share=0.15)) as folder:
            changes = {"tasks__imdb-lstm__epochs": 1, "scheduler": "constant", "seeds": 1}
            of = runs("imdb-lstm", datasets.summary(folder).examples["train"], **changes)
            compare(of, folder, lambda: published(folder), rounds)


if __name__ == "__main__":
    typer.run(main)
