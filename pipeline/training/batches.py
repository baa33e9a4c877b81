"""Batches: which examples are in each, and what a network sees of them."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.datasets.augment import Augmentation, Draw
from pipeline.datasets.store import Split, Summary, read

if TYPE_CHECKING:
    from pipeline.runs.params import Run

POOL = 50
"""Batches of texts that are drawn together and sorted by length, so that the texts of a batch are about as long."""
read_once = lru_cache(maxsize=None)(read)
"""`pipeline.datasets.read`, for a worker, whose runs all see the same."""
Indices = Tensor | slice
"""The examples of a batch: their indices, int64 (batch,), or a slice of all of them."""


@lru_cache(maxsize=8)
def resident(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the examples of a sweep go there once, and stay."""
    return tensor.to(device)


def batches(
    examples: int, size: int, generator: torch.Generator, lengths: Tensor | None = None, device: str = "cpu"
) -> Sequence[Indices]:
    """Draw the batches of an epoch in random order.

    Texts of one batch are about as long, so that little of it is padding: pools of batches are sorted by length, and
    the batches are shuffled again.

    Args:
        examples: how many there are.
        size: of a batch; the last may be smaller.
        generator: where the order is drawn from.
        lengths: of texts, (examples,).
        device: where the indices are used; those of an epoch go there together.
    """
    if size >= examples:
        return [slice(None)]  # one batch holds them all: their order does not matter
    order = torch.randperm(examples, generator=generator)
    if lengths is None:
        return torch.split(order.to(device), size)
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in torch.split(order, POOL * size)]
    drawn = [batch for pool in pools for batch in torch.split(pool, size)]
    shuffled = [drawn[index] for index in torch.randperm(len(drawn), generator=generator).tolist()]
    return torch.split(torch.cat(shuffled).to(device), [len(batch) for batch in shuffled])


def splits(folder: Path, run: "Run") -> tuple[Split, Split]:
    """Read what a run sees of the data in ``folder``: the training and the validation split."""
    return read_once(folder, "train", run.max_length, run.train_subset), read_once(folder, "val", run.max_length)


class Examples:
    """The training split on a device.

    Args:
        split: the examples.
        data: the summary of their data set.
        run: any run of the task; all prepare their inputs alike.
        device: where.
    """

    def __init__(self, split: Split, data: Summary, run: "Run", device: torch.device) -> None:
        self.data, self.run = data, run
        self.x, self.y = resident(split.x, device), resident(split.y, device)
        self.lengths = (split.x != 0).sum(dim=1) if data.kind == "text" else None
        self._all = torch.arange(len(self.x), device=device)
        self._augmentation = Augmentation(run.augment, device) if run.augment else None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, batch: Sequence[Indices], draws: Sequence[Draw] = ()) -> tuple[Tensor, Tensor]:
        """Return inputs (runs, batch, ...) and targets (runs, batch); each run has a batch of its own.

        Args:
            batch: of each run.
            draws: of each run, for `augment`; none: the pictures stay as they are.
        """
        if len(batch) == 1 and isinstance(batch[0], slice):
            x, y = self.x[batch[0]][None], self.y[batch[0]][None]
        else:
            indices = torch.stack([self._all[each] if isinstance(each, slice) else each for each in batch])
            x, y = _rows(self.x, indices), _rows(self.y, indices)
        augment = partial(self._augmentation, draws=draws) if self._augmentation and draws else None
        return inputs(x, self.data, self.run, augment), y

    def in_order(self) -> Iterator[Tensor]:
        """Yield the inputs of all examples in their own order, batch by batch, each (batch, ...)."""
        for x in torch.split(self.x, self.run.batch_size):
            yield inputs(x, self.data, self.run)


def _rows(of: Tensor, indices: Tensor) -> Tensor:
    """Return ``of[indices]`` for indices of any shape, but faster."""
    return of.index_select(0, indices.flatten()).view(*indices.shape, *of.shape[1:])


def inputs(x: Tensor, data: Summary, run: "Run", augment: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Turn stored examples (..., batch, *example) into what the network sees.

    Pictures become float32 in [0, 1], or what `normalize` makes of it; tokens become int32. On a CPU a batch of texts
    is cut to its longest; to know which that is, a GPU would have to be waited for.

    Args:
        x: examples.
        data: the summary of their data set.
        run: any run of the task.
        augment: changes pictures before `normalize`.
    """
    if data.kind == "text":
        if x.device.type != "cpu":
            return x
        return x[..., : int((x != 0).sum(dim=-1).max().clamp(min=1))]
    if data.kind == "tokens":
        return x.int()
    if data.kind == "number":
        return x
    pixels = x / data.white
    if augment is not None:
        pixels = augment(pixels)
    if run.normalize is None:
        return pixels
    mean, std = (_of_channels(tuple(each), x.device) for each in (run.normalize.mean, run.normalize.std))
    return (pixels - mean) / std


@lru_cache(maxsize=8)
def _of_channels(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """Return numbers of channels, (channels, 1, 1); to send them to a device each time would take as long as a step."""
    return torch.tensor(numbers, device=device)[:, None, None]
