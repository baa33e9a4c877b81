"""CUDA graphs, which replay the forward and backward passes of a small network in one call instead of hundreds.

CUDA graphs are used only if `PIPELINE_CUDA_GRAPHS` is 1, because they have not been tested on a GPU. As torch's notes
on CUDA graphs advise, the first few batches of each kind are computed call by call in a side stream. Then a graph is
recorded; it is replayed for all later batches of that kind. Batches of the same kind have the same shape and the same
place in a step. The steps of optimizers and schedulers are not part of a graph.
"""

import os
from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.training.accumulation import MicroBatch

WARM_UP = 3
"""The number of batches of each kind to compute before recording a graph, so that libraries can choose kernels."""
SWITCH = "PIPELINE_CUDA_GRAPHS"
"""The environment variable that turns CUDA graphs on; they do not change the results."""
Backward = Callable[[Tensor, Tensor, MicroBatch], Tensor]
"""A function that computes gradients from inputs (runs, batch, ...), targets (runs, batch) and the batch's place in its
step, and returns the detached losses (runs,)."""


def recorded(backward: Backward, device: torch.device, draws: Callable[[], bool]) -> Backward:
    """If the device is a GPU and `SWITCH` is 1, return ``backward`` with CUDA graphs, otherwise ``backward`` itself.

    Args:
        draws: returns True if ``backward`` draws random numbers in a way that a graph cannot record.
    """
    if device.type != "cuda" or os.environ.get(SWITCH) != "1":
        return backward
    return Recorded(backward, device, draws)


class Recorded:
    """The function ``backward`` with a CUDA graph for each combination of a batch's shape and its place in a step."""

    def __init__(self, backward: Backward, device: torch.device, draws: Callable[[], bool]) -> None:
        self._backward, self._draws = backward, draws
        self._seen: Counter[tuple[torch.Size, MicroBatch]] = Counter()
        self._graphs: dict[tuple[torch.Size, MicroBatch], tuple[torch.cuda.CUDAGraph, Tensor, Tensor, Tensor]] = {}
        self._stream = torch.cuda.Stream(device)
        self._can_record = True

    def __call__(self, x: Tensor, y: Tensor, part: MicroBatch) -> Tensor:
        """Compute gradients; see `Backward`."""
        kind = x.shape, part
        if kind not in self._graphs and self._can_record and self._seen[kind] >= WARM_UP and not self._draws():
            self._record(x, y, part)
        if kind in self._graphs:
            graph, inputs, targets, losses = self._graphs[kind]
            inputs.copy_(x)
            targets.copy_(y)
            graph.replay()
            return losses
        self._seen[kind] += 1
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            losses = self._backward(x, y, part)
        torch.cuda.current_stream().wait_stream(self._stream)
        return losses

    def _record(self, x: Tensor, y: Tensor, part: MicroBatch) -> None:
        """Record one batch. If recording fails, for example because the network copies data to the CPU, never retry."""
        graph, inputs, targets = torch.cuda.CUDAGraph(), x.clone(), y.clone()
        try:
            with torch.cuda.graph(graph):
                losses = self._backward(inputs, targets, part)
        except RuntimeError:
            self._can_record = False
        else:
            self._graphs[x.shape, part] = graph, inputs, targets, losses
