"""Which runs are trained together, and how: one by one, as a sequential stack, or as a mapped stack.

The choice follows measurements, and nobody has to make it. It depends on the network, the batch and the kind of device
only, as the bits of a stack differ from those of a single network. Work is counted in multiplications with a weight, in
the forward pass of a batch.

| network | on a CPU | on a GPU |
|---|---|---|
| sequential, dense layers | a sequential stack up to 2^20, of 1 to 16 | a sequential stack |
| sequential, with convolutions | a sequential stack up to 2^23, of 4 | a sequential stack |
| LSTM, GRU, RNN | one by one | one by one |
| any other | a mapped stack up to 2^20, of 8 | a mapped stack |

Torch chooses kernels for convolutions, and all kernels on a GPU, by shape. There a stack always has the same width,
filled with idle copies. On a GPU the width is the power of two up to 64 that brings the work to about 2^30.
`tests/benchmarks/stacks.py` measures what pays.
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
"""The most work of one network with which a stack pays on a CPU; `is_small` has that of dense layers."""
WIDTH = {"dense": 16, "convolution": 4, "mapped": 8}
"""Networks of a stack on a CPU. Wider stacks no longer fit into its caches."""
GPU_WORK, GPU_WIDTH = 2**30, 64
"""The work that keeps a GPU busy, and the widest stack there."""


@dataclass(frozen=True)
class StackPlan:
    """How runs are trained together."""

    kind: Literal["sequential", "mapped"] | None = None
    """None: one by one."""
    least: int = 1
    """Idle copies fill a stack up to this width."""
    most: int = 1
    """The most runs of a stack."""
    reason: str = ""
    """Why there is no stack, if that is worth telling."""


_plans: dict[str, StackPlan] = {}


def stack_plan(run: Training, examples: TrainingSet) -> StackPlan:
    """Return how runs like this one are trained together.

    Args:
        run: a run at its start.
        examples: the training split.
    """
    key = _key(run, examples)
    if key not in _plans:
        _plans[key] = _choose(run, examples)
    return _plans[key]


def narrow(run: Training, examples: TrainingSet) -> bool:
    """Halve the stacks of runs like this one in this process, after its device ran out of memory.

    On a GPU, narrower stacks may round differently.

    Returns:
        False if runs are trained one by one already.
    """
    plan = stack_plan(run, examples)
    if plan.most == 1:
        return False
    half = plan.most // 2
    _plans[_key(run, examples)] = replace(plan, least=min(plan.least, half), most=half)
    return True


def stack_of(runs: Sequence[Training], examples: TrainingSet) -> Stack | None:
    """Return a stack of the networks of runs at the same position; None for a run that is trained by itself."""
    first, plan = runs[0], stack_plan(runs[0], examples)
    assert len(runs) <= plan.most, "a wider stack would compute other bits"
    if plan.kind is None:
        first.draw_from_torch()
        return None
    kind = SequentialStack if plan.kind == "sequential" else MappedStack
    networks, generators = [run.network for run in runs], [run.random for run in runs]
    return kind(networks, first.loss, first.autocast, generators, plan.least)


def _key(run: Training, examples: TrainingSet) -> str:
    """Return everything that `_choose` looks at."""
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
    if layers and _refusal(SequentialStack, run, examples):
        layers = []  # such as a dense layer that computes each line of a picture by itself
    elif is_dense_on_cpu:
        return StackPlan("sequential", 1, WIDTH["dense"])
    width = _width(multiplications(network, examples), device, "convolution" if layers else "mapped")
    if width < 2:
        return StackPlan()
    if layers:
        return StackPlan("sequential", width, width)
    reason = _refusal(MappedStack, run, examples)
    return StackPlan(reason=reason) if reason else StackPlan("mapped", width, width)


def _width(work: int, device: str, kind: Literal["convolution", "mapped"]) -> int:
    """Return the width of stacks of networks with so much work; 1 if a stack does not pay."""
    if device == "cpu":
        return WIDTH[kind] if work <= MAX_WORK[kind] else 1
    widest: int = 2 ** (GPU_WORK // work).bit_length() // 2
    return min(widest, GPU_WIDTH)


def _refusal(kind: type[Stack], run: Training, examples: TrainingSet) -> str:
    """Return why two runs like this one cannot be a stack, "" if they can."""
    x, y = examples.take([slice(0, min(run.workload.batch_size, len(examples)))] * 2)
    tolerance = 0.05 if run.workload.precision == "bfloat16" else 1e-3
    return refusal(kind, run.network, run.loss, x, y, run.autocast, tolerance)


def multiplications(network: nn.Module, examples: TrainingSet) -> int:
    """Return the multiplications with a weight in the forward pass of a batch, at least one a weight and example.

    Products without a layer, such as those of attention, are not counted; they are few here.
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
    """Return True for layers with a matrix or kernels that are not a table of embeddings."""
    weight = getattr(layer, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim > 1 and not isinstance(layer, nn.Embedding)
