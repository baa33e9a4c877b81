"""CUDA graphs: a step of a small network is hundreds of calls, and a GPU waits for each; a graph is one call.

Nothing of this ran on a GPU yet. It follows torch's notes on CUDA graphs: some steps are taken as ever, in a stream of
their own; then one is recorded, and from then on replayed with new batches and new rates.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from pipeline.training.accumulation import Part
from pipeline.training.batches import Examples
from pipeline.training.state import Training
from pipeline.training.step import Step

WARM_UP = 3
"""Steps of one kind that are taken call by call: libraries choose their kernels, and optimizers make their states."""
RECORDABLE = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW)
"""Optimizers whose fused step takes its rate from the GPU, where it can change between two replays."""
SWITCH = "PIPELINE_CUDA_GRAPHS"
"""The environment variable that is 0 where nothing is to be recorded; it cannot change a result."""
Kind = tuple[torch.Size, Part]


class Rates:
    """The rates of some optimizers on a device: one copy a step carries them all there.

    A fused step computes the same with a rate that lies on the device, in float32, whether it is recorded or not. So
    every step on a GPU takes them from there, and a run that goes on from a checkpoint computes the same bits.

    Args:
        optimizers: whose groups keep the rates that schedulers set, as Python's numbers.
        device: where.
    """

    def __init__(self, optimizers: list[torch.optim.Optimizer], device: torch.device) -> None:
        self._groups = [group for each in optimizers for group in each.param_groups]
        self._rates = torch.zeros(len(self._groups), device=device)
        self._known: list[float] = []

    def send(self) -> None:
        """Copy the rates to the device, if they are others than the last."""
        rates = [float(group["lr"]) for group in self._groups]
        if rates != self._known:
            self._rates.copy_(torch.tensor(rates), non_blocking=True)
            self._known = rates

    @contextmanager
    def recordable(self) -> Iterator[None]:
        """Tell the optimizers in the block that their steps are recorded: Adam refuses it otherwise."""
        known = [group for group in self._groups if "capturable" in group]
        for group in known:
            group["capturable"] = True
        try:
            yield
        finally:
            for group in known:
                group["capturable"] = False

    @contextmanager
    def on_device(self) -> Iterator[None]:
        """Let the optimizers find the rates of the device in the block."""
        numbers = [group["lr"] for group in self._groups]
        for group, rate in zip(self._groups, self._rates.unbind(), strict=True):
            group["lr"] = rate
        try:
            yield
        finally:
            for group, number in zip(self._groups, numbers, strict=True):
                group["lr"] = number


def step_of(runs: Sequence[Training], examples: Examples) -> Step:
    """Return what happens to runs with each batch, recorded where there is a GPU; see `Step`."""
    return (Recorded if runs[0].device.type == "cuda" else Step)(runs, examples)


class Recorded(Step):
    """Steps that are recorded by kind: the shape of a batch, and its place in a step; see `Step`."""

    def __init__(self, runs: Sequence[Training], examples: Examples) -> None:
        super().__init__(runs, examples)
        self._takes_optimizers = all(_is_recordable(run) for run in runs)
        optimizers = [run.optimizer for run in runs] if self._takes_optimizers else []
        self._rates = Rates(optimizers, runs[0].device)
        self._seen: Counter[Kind] = Counter()
        self._recorded: dict[Kind, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}
        self._stream = torch.cuda.Stream(runs[0].device)
        self._can = os.environ.get(SWITCH) != "0"

    def __call__(self, x: Tensor, y: Tensor, part: Part) -> None:
        """Train on a batch; see `Step`."""
        kind = x.shape, part
        self._rates.send()
        if kind not in self._recorded and self._can and self._seen[kind] >= WARM_UP and not self.network.draws:
            self._record(kind, x, y)
        if kind in self._recorded:
            graph, inputs, targets = self._recorded[kind]
            inputs.copy_(x)
            targets.copy_(y)
            graph.replay()
        else:
            self._seen[kind] += 1
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                self._take(x, y, part)
            torch.cuda.current_stream().wait_stream(self._stream)
        if part.ends and not self._takes_optimizers:
            self.update()

    def _take(self, x: Tensor, y: Tensor, part: Part) -> None:
        self.compute(x, y, part)
        if part.ends and self._takes_optimizers:
            with self._rates.on_device():
                self.update()

    def _record(self, kind: Kind, x: Tensor, y: Tensor) -> None:
        """Record a step; where that cannot be done, as with a network that looks at its numbers, never try again."""
        graph, inputs, targets = torch.cuda.CUDAGraph(), x.clone(), y.clone()
        try:
            with self._rates.recordable(), torch.cuda.graph(graph):
                self._take(inputs, targets, kind[1])
        except RuntimeError:
            self._can = False
        else:
            self._recorded[kind] = graph, inputs, targets


def _is_recordable(run: Training) -> bool:
    """Return True if nothing of a run's optimizer changes but its rates: a momentum would be recorded as it is."""
    schedules = [run.schedule, *run.schedule.parts()]
    cycles = any(getattr(schedule, "cycle_momentum", False) for schedule in schedules)
    return type(run.optimizer) in RECORDABLE and not cycles
