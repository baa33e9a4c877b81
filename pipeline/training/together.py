"""Which runs are trained together, and how: one by one, as a stack of rows of layers, or as a stack by `torch.func`.

What pays was measured, and nobody has to choose. It depends on the network, the batch and the kind of device, and on
nothing else: the bits of a stack differ from those of a network by itself. Work is counted in multiplications with a
weight, of the forward pass of a batch.

| network | on a CPU | on a GPU |
|---|---|---|
| row of dense layers | a stack of rows up to 2^20, of 1 to 16 | a stack of rows |
| row of layers with convolutions | a stack of rows up to 2^23, of 4 | a stack of rows |
| LSTM, GRU, RNN | one by one | one by one |
| any other | mapped up to 2^20, of 8 | mapped |

Where torch chooses its kernels by shape, as it does for convolutions and on a GPU, a stack always has the same width,
filled with idle copies. On a GPU that is the power of two up to 64 that brings its work to about 2^30.
`tests/benchmarks/stacks.py` measures what pays.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from pipeline.networks.networks import CNN, MLP, LeNet
from pipeline.training.batches import Examples
from pipeline.training.mapped import Mapped
from pipeline.training.rows import Row, is_dense, row
from pipeline.training.stacks import Network, Single, Stack, is_small
from pipeline.training.state import Training
from pipeline.training.trial import refusal

CONVOLVED, MAPPED = 2**23, 2**20
"""The most work of one network with which a stack pays on a CPU; that of dense layers is in `stacks`."""
WIDTH = {"dense": 16, "convolved": 4, "mapped": 8}
"""Networks in a stack on a CPU. With more, what they compute no longer stays in its caches."""
BUSY, WIDEST = 2**30, 64
"""The work that keeps a GPU busy, and the most networks in a stack there."""


@dataclass(frozen=True)
class Way:
    """How runs are trained together."""

    stack: Literal["row", "mapped"] | None = None
    """None: one by one."""
    least: int = 1
    """Idle copies fill a stack up to so many networks."""
    most: int = 1
    """Runs in a stack."""
    reason: str = ""
    """Why there can be no stack."""


_ways: dict[str, Way] = {}


def way(run: Training, examples: Examples) -> Way:
    """Return how runs like this one are trained together.

    Args:
        run: at its start.
        examples: that it is trained on.
    """
    name = _name(run, examples)
    if name not in _ways:
        _ways[name] = _chosen(run, examples)
    return _ways[name]


def _name(run: Training, examples: Examples) -> str:
    """Return all that `_chosen` looks at."""
    settings = run.run
    key: list[Any] = [settings.model.model_dump(), settings.loss, settings.batch_size, settings.own(), str(run.device)]
    key += [list(examples.x.shape[1:]), run.data.vocabulary_size, len(run.data.classes)]
    return json.dumps(key, default=str)


def narrow(run: Training, examples: Examples) -> bool:
    """Halve the stacks of runs like this one in this process, as its device has too little memory; False: it cannot be.

    What a GPU rounds may then be other than in wider stacks.
    """
    now = way(run, examples)
    if now.most == 1:
        return False
    half = now.most // 2
    _ways[_name(run, examples)] = replace(now, least=min(now.least, half), most=half)
    return True


def together(runs: Sequence[Training], examples: Examples) -> Network:
    """Put the networks of runs that are trained together behind one `backward`.

    Args:
        runs: one; or several at the same position, if there is a stack for them.
        examples: that they are trained on.
    """
    first, chosen = runs[0], way(runs[0], examples)
    assert len(runs) <= chosen.most, "a stack would be wider than its kernels are the same for"
    if chosen.stack is None:
        (run,) = runs
        run.draw_from_torch()
        return Single(run.network, run.loss, run.autocast)
    kind = Row if chosen.stack == "row" else Mapped
    networks, generators = [run.network for run in runs], [run.random for run in runs]
    return kind(networks, first.loss, first.autocast, generators, chosen.least)


def _chosen(run: Training, examples: Examples) -> Way:
    network, device, batch = run.network, run.device.type, run.run.batch_size
    if device not in ("cpu", "cuda"):
        return Way()
    if any(isinstance(module, nn.RNNBase) for module in network.modules()):
        return Way(reason="torch.func cannot map an LSTM, a GRU or an RNN")
    layers = row(network)
    if layers and not isinstance(network, MLP | LeNet | CNN) and _refusal(Row, run, examples):
        layers = []  # such as a dense layer that works on pictures line by line
    if layers and is_dense(layers) and device == "cpu":
        return Way("row", 1, WIDTH["dense"]) if is_small(network, batch) else Way()
    work = multiplications(network, examples, run)
    width = _width_on_cpu(work, bool(layers)) if device == "cpu" else min(2 ** (BUSY // work).bit_length() // 2, WIDEST)
    if width < 2:
        return Way()
    if layers:
        return Way("row", width, width)
    reason = _refusal(Mapped, run, examples)
    return Way(reason=reason) if reason else Way("mapped", width, width)


def _refusal(kind: type[Stack], run: Training, examples: Examples) -> str:
    """Return why two runs like this one cannot be a stack, "" if they can."""
    x, y = examples.take([slice(0, min(run.run.batch_size, len(examples)))] * 2)
    same = 0.05 if run.run.precision == "bfloat16" else 1e-3
    return refusal(kind, run.network, run.loss, x, y, run.autocast, same)


def _width_on_cpu(work: int, is_row: bool) -> int:
    if is_row:
        return WIDTH["convolved"] if work <= CONVOLVED else 1
    return WIDTH["mapped"] if work <= MAPPED else 1


def multiplications(network: nn.Module, examples: Examples, run: Training) -> int:
    """Return the multiplications with a weight that the forward pass of a batch takes, at least one a weight.

    Products that a network computes without a layer are not seen, such as those of attention; they are few here.
    """
    x, _ = examples.take([slice(0, 2)])
    counted = 0

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        nonlocal counted
        if isinstance(output, Tensor):
            counted += output.numel() * layer.get_parameter("weight")[0].numel() // len(output)

    layers = [each for each in network.modules() if _multiplies(each)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network.eval()
    with torch.no_grad():
        network(x[0])
    network.train()
    for hook in hooks:
        hook.remove()
    return max(counted, sum(weight.numel() for weight in network.parameters())) * run.run.batch_size


def _multiplies(layer: nn.Module) -> bool:
    """Return True for layers with a matrix or kernels, other than those that look numbers up."""
    weight = getattr(layer, "weight", None)
    return isinstance(weight, nn.Parameter) and weight.ndim > 1 and not isinstance(layer, nn.Embedding)
