"""Functions that choose how to train runs: one by one, in a sequential stack, or in a mapped stack.

The choice depends only on the network, its batches and the kind of device, because a stack rounds differently from a
single network. The limits below were measured with `tests/benchmarks/stacks.py`. The work of a network is the number of
multiplications by a weight in the forward pass of a batch.

| network | on a CPU | on a GPU |
|---|---|---|
| sequential, dense layers | a sequential stack of 1 to 16, if the work is at most 2^20 | a sequential stack |
| sequential, with convolutions | a sequential stack of 4, if the work is at most 2^23 | a sequential stack |
| LSTM, GRU, RNN | one by one | one by one |
| any other | a mapped stack of 8, if the work is at most 2^20 | a mapped stack |

The kernels that torch chooses, and thus the rounding, may depend on the width of a stack. Therefore, all stacks of a
network have the same width, and a stack with fewer runs is filled up with idle copies. Dense layers on a CPU are the
exception, because their kernels do not depend on the width. On a GPU, the width is the largest power of two, up to 64,
for which the work of the stack is at most 2^30.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.training.mapped_stack import MappedStack
from pipeline.training.sequential_stack import SequentialStack, is_dense, is_small, layers_of
from pipeline.training.stack_trial import refusal
from pipeline.training.stacks import Stack
from pipeline.training.state import Training
from pipeline.training.training_set import TrainingSet

MAX_WORK = {"convolution": 2**23, "mapped": 2**20}
"""The maximum work at which a network trains faster in a stack on a CPU; for dense layers, see `is_small`."""
WIDTH = {"dense": 16, "convolution": 4, "mapped": 8}
"""The width of each kind of stack on a CPU. The data of wider stacks would not fit into the CPU's caches."""
GPU_WORK, GPU_WIDTH = 2**30, 64
"""The number of multiplications per batch that is enough to keep a GPU busy, and the maximum width of a stack on a
GPU."""


@dataclass(frozen=True)
class StackPlan:
    """A plan for training the runs of a task together or one by one."""

    kind: Literal["sequential", "mapped"] | None = None
    """The kind of stack, or None if the runs are trained one by one."""
    least: int = 1
    """The minimum width of a stack; idle copies fill up a narrower stack."""
    most: int = 1
    """The maximum number of runs in a stack."""
    reason: str = ""
    """The reason why the runs are not stacked, for a message to the user; empty if the user needs no message."""


_plans: dict[str, StackPlan] = {}


def stack_plan(run: Training, examples: TrainingSet) -> StackPlan:
    """Return the plan for training runs like ``run``; ``run`` itself must not have started to train."""
    key = _key(run, examples)
    if key not in _plans:
        _plans[key] = _choose(run, examples)
    return _plans[key]


def narrow(run: Training, examples: TrainingSet) -> bool:
    """Halve the width of this process's stacks for runs like ``run``, because the device has run out of memory.

    On a GPU, narrower stacks may round differently.

    Returns:
        False if the runs are already trained one by one, otherwise True.
    """
    plan = stack_plan(run, examples)
    if plan.most == 1:
        return False
    half = plan.most // 2
    _plans[_key(run, examples)] = replace(plan, least=min(plan.least, half), most=half)
    return True


def stack_of(runs: Sequence[Training], examples: TrainingSet) -> Stack | None:
    """Return a stack for runs at the same position, or None for a run that is trained alone."""
    first, plan = runs[0], stack_plan(runs[0], examples)
    assert len(runs) <= plan.most, "a wider stack would round differently"
    if plan.kind is None:
        first.draw_from_torch()
        return None
    kind = SequentialStack if plan.kind == "sequential" else MappedStack
    networks, generators = [run.network for run in runs], [run.random for run in runs]
    return kind(networks, first.loss, first.autocast, generators, plan.least)


def _key(run: Training, examples: TrainingSet) -> str:
    """Return everything that the result of `_choose` depends on, as text."""
    workload = run.workload
    key: list[Any] = [workload.model.model_dump(), workload.loss, workload.batch_size, workload.options()]
    key += [str(run.device), list(examples.x.shape[1:]), run.data.vocabulary_size, len(run.data.classes)]
    return json.dumps(key, default=str)


def _choose(run: Training, examples: TrainingSet) -> StackPlan:
    network, device = run.network, run.device.type
    if device not in ("cpu", "cuda"):
        return StackPlan()
    if any(isinstance(module, nn.RNNBase) for module in network.modules()):
        return StackPlan(reason="torch.func cannot map an LSTM, a GRU or an RNN")
    layers = layers_of(network)
    is_dense_on_cpu = bool(layers) and is_dense(layers) and device == "cpu"
    if is_dense_on_cpu and not is_small(network, run.workload.batch_size):
        return StackPlan()
    if layers and refusal(SequentialStack, run, examples):
        layers = []  # the trial failed, for example because a dense layer is applied to each line of a picture
    elif is_dense_on_cpu:
        return StackPlan("sequential", 1, WIDTH["dense"])
    width = _width(multiplications(network, examples), device, "convolution" if layers else "mapped")
    if width < 2:
        return StackPlan()
    if layers:
        return StackPlan("sequential", width, width)
    reason = refusal(MappedStack, run, examples)
    return StackPlan(reason=reason) if reason else StackPlan("mapped", width, width)


def _width(work: int, device: str, kind: Literal["convolution", "mapped"]) -> int:
    """Return the width of a stack of networks whose work is ``work``, or 0 or 1 if a stack would not be faster."""
    if device == "cpu":
        return WIDTH[kind] if work <= MAX_WORK[kind] else 1
    widest: int = 2 ** (GPU_WORK // work).bit_length() // 2
    return min(widest, GPU_WIDTH)


def multiplications(network: nn.Module, examples: TrainingSet) -> int:
    """Return the number of multiplications by a weight in the forward pass of a batch.

    The result is at least the number of weights times the batch size. Products of two activations, as in attention, are
    not counted, because small networks compute few such products.
    """
    x, _ = examples.take([slice(0, 2)])
    counted = 0

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        nonlocal counted
        if isinstance(output, Tensor):
            counted += output.numel() * layer.get_parameter("weight")[0].numel() // len(output)

    hooks = [layer.register_forward_hook(count) for layer in network.modules() if _multiplies(layer)]
    network.eval()
    with torch.no_grad():
        network(x[0])
    network.train()
    for hook in hooks:
        hook.remove()
    return max(counted, sum(weight.numel() for weight in network.parameters())) * examples.workload.batch_size


def _multiplies(layer: nn.Module) -> bool:
    """Return True if a layer multiplies by a matrix or by kernels; an embedding looks up rows instead."""
    weight = getattr(layer, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim > 1 and not isinstance(layer, nn.Embedding)
