"""The training split on a device, and functions that draw its batches and prepare the network's inputs."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pipeline.datasets.augment import Augmentation, Draw
from pipeline.datasets.store import Split, Summary, read

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload

POOL = 50
"""The number of batches in a pool of texts; `draw_batches` sorts the texts in each pool by length."""
read_once = lru_cache(maxsize=None)(read)
"""The function `read` with a cache, which lets all runs of a worker share the same tensors."""
Indices = Tensor | slice
"""The examples of a batch: their indices, int64 (batch,), or a slice of all examples."""


@lru_cache(maxsize=8)
def resident(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on a device; the result is cached, so a worker copies its examples to the device only once."""
    return tensor.to(device)


def read_splits(folder: Path, workload: "Workload") -> tuple[Split, Split]:
    """Read the training and validation splits of a workload from the prepared data in ``folder``."""
    train = read_once(folder, "train", workload.max_length, workload.train_subset)
    return train, read_once(folder, "val", workload.max_length)


def draw_batches(
    examples: int, size: int, generator: torch.Generator, lengths: Tensor | None = None, device: str = "cpu"
) -> Sequence[Indices]:
    """Return the batches of an epoch in random order.

    To reduce padding, the texts of a batch have similar lengths: random pools of texts are sorted by length and cut
    into batches, and then all batches are shuffled.

    Args:
        examples: the number of examples.
        size: the number of examples in a batch; the last batch may be smaller.
        generator: the generator that draws the order.
        lengths: the lengths of the texts, (examples,).
        device: the device of the indices.
    """
    if size >= examples:
        return [slice(None)]  # a single batch contains all examples, so their order does not matter
    order = torch.randperm(examples, generator=generator)
    if lengths is None:
        return torch.split(order.to(device), size)
    pools = [pool[lengths[pool].argsort(stable=True)] for pool in torch.split(order, POOL * size)]
    batches = [batch for pool in pools for batch in torch.split(pool, size)]
    shuffled = [batches[index] for index in torch.randperm(len(batches), generator=generator).tolist()]
    return torch.split(torch.cat(shuffled).to(device), [len(batch) for batch in shuffled])


class TrainingSet:
    """The training split on a device.

    ``workload`` may come from any run of the task, because all runs of a task prepare their inputs in the same way.
    """

    def __init__(self, split: Split, data: Summary, workload: "Workload", device: torch.device) -> None:
        self.data, self.workload = data, workload
        self.x, self.y = resident(split.x, device), resident(split.y, device)
        self.lengths = (split.x != 0).sum(dim=1) if data.kind == "text" else None
        self._all = torch.arange(len(self.x), device=device)
        self._augmentation = Augmentation(workload.augment, device) if workload.augment else None

    def __len__(self) -> int:
        return len(self.x)

    def take(self, batches: Sequence[Indices], draws: Sequence[Draw] = ()) -> tuple[Tensor, Tensor]:
        """Return the inputs, (runs, batch, ...), and the targets, (runs, batch), of one batch for each run.

        Args:
            batches: the batch of each run.
            draws: the seed of each run's augmentation; empty for no augmentation.
        """
        if len(batches) == 1 and isinstance(batches[0], slice):
            x, y = self.x[batches[0]][None], self.y[batches[0]][None]
        else:
            indices = torch.stack([self._all[batch] if isinstance(batch, slice) else batch for batch in batches])
            x, y = _rows(self.x, indices), _rows(self.y, indices)
        augment = partial(self._augmentation, draws=draws) if self._augmentation and draws else None
        return inputs(x, self.data, self.workload, augment), y

    def in_order(self) -> Iterator[Tensor]:
        """Yield the inputs of all examples in the order of the split, as batches of shape (batch, ...)."""
        for x in torch.split(self.x, self.workload.batch_size):
            yield inputs(x, self.data, self.workload)


def _rows(tensor: Tensor, indices: Tensor) -> Tensor:
    """Return ``tensor[indices]`` for indices of any shape; this function is faster than indexing."""
    return tensor.index_select(0, indices.flatten()).view(*indices.shape, *tensor.shape[1:])


def inputs(x: Tensor, data: Summary, workload: "Workload", augment: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Turn stored examples, (..., batch, *example), into the network's inputs.

    Pictures become float32 in [0, 1] and are then normalized; tokens become int32. On a CPU, a batch of texts is cut to
    the length of its longest text. On a GPU, the batch keeps its length, because otherwise the CPU would have to wait
    for the GPU to find the longest text.

    ``augment`` transforms pictures in [0, 1] before they are normalized.
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
    if workload.normalize is None:
        return pixels
    mean = _by_channel(tuple(workload.normalize.mean), x.device)
    std = _by_channel(tuple(workload.normalize.std), x.device)
    return (pixels - mean) / std


@lru_cache(maxsize=8)
def _by_channel(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """Return the numbers, one for each channel, as a tensor of shape (channels, 1, 1).

    The result is cached, because copying the tensor to a GPU takes as long as a training step.
    """
    return torch.tensor(numbers, device=device)[:, None, None]
