"""Functions that score a network on a split, and evaluate a trained run."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.datasets.store import Split, Summary
from pipeline.errors import UserError
from pipeline.losses import LOSSES
from pipeline.networks.weights import restore
from pipeline.training.building import build_network, build_random
from pipeline.training.determinism import make_deterministic
from pipeline.training.layer_statistics import Layer, compare_layers
from pipeline.training.precision import autocast
from pipeline.training.training_set import inputs, resident

if TYPE_CHECKING:
    from pipeline.runs.run import Run
    from pipeline.runs.workload import Workload

SCORING_BATCH = {"image": 512, "number": 512, "text": 128}
"""The batch size for scoring each kind of example. Larger batches are hardly faster and take more memory. For tokens,
the batch size is the same as in training, because the network has an output for every vocabulary entry at every
token."""
SCORING_PIXELS = 512 * 32 * 32
"""The maximum number of pixels in a batch for scoring a deep network. The network's activations for 512 pictures of
224 x 224 pixels would take many gigabytes."""


@torch.no_grad()
def outputs_of(
    network: nn.Module,
    split: Split,
    data: Summary,
    workload: "Workload",
    device: torch.device,
    full_precision: bool = False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the outputs and targets for ``split`` batch by batch; texts are sorted by length to reduce padding.

    The network computes in the workload's precision, or in the precision of its weights if ``full_precision`` is True.
    """
    network.eval()
    size = scored_at_once(data, workload)
    x_all, y_all = split.x, split.y
    if device.type != "cpu":
        x_all, y_all = resident(x_all, device), resident(y_all, device)
    if data.kind == "text":
        order = (x_all != 0).sum(dim=1).argsort(stable=True)
        x_all, y_all = x_all[order], y_all[order]
    for x, y in zip(torch.split(x_all, size), torch.split(y_all, size), strict=True):
        with nullcontext() if full_precision else autocast(workload, device):
            output = network(inputs(x, data, workload))
        yield output, y


def scored_at_once(data: Summary, workload: "Workload") -> int:
    """Return the batch size for scoring."""
    size = SCORING_BATCH.get(data.kind, workload.batch_size)
    if workload.model.is_deep:
        size = max(1, min(size, SCORING_PIXELS // prod(data.input_shape[1:])))
    return size


def score(
    network: nn.Module, split: Split, data: Summary, workload: "Workload", device: torch.device
) -> tuple[float, float | None]:
    """Return the mean or total loss on ``split``, and the accuracy from 0 to 1 (None if there are no classes)."""
    return loss_and_accuracy(sums(network, split, data, workload, device).tolist(), len(split), workload)


def loss_and_accuracy(sums: Sequence[float], examples: int, workload: "Workload") -> tuple[float, float | None]:
    """Return the same figures as `score`, computed from the result of `sums` and the number of examples."""
    loss, (total, correct) = LOSSES[workload.loss], sums
    return total / (examples if loss.mean else 1), correct / examples if loss.has_classes else None


@torch.no_grad()
def sums(network: nn.Module, split: Split, data: Summary, workload: "Workload", device: torch.device) -> Tensor:
    """Return the sum of the losses on ``split`` and the number of correct outputs, as float64 (2,) on the device."""
    loss = LOSSES[workload.loss]
    total = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for output, y in outputs_of(network, split, data, workload, device):
        total += loss.of(output, y).double() * (len(y) if loss.mean else 1)
        if loss.has_classes:
            correct += loss.correct(output, y).sum()
    return torch.stack([total, correct.double()])


def outputs_all_equal(
    network: nn.Module, split: Split, data: Summary, workload: "Workload", device: torch.device
) -> bool:
    """Return True if ``split`` has several examples and the network's outputs for all of them are exactly equal."""
    first = None
    # Compute in full precision, because bfloat16 may round different outputs to the same number.
    for output, _ in outputs_of(network, split, data, workload, device, full_precision=True):
        first = output[:1] if first is None else first
        if not torch.equal(output, first.expand_as(output)):
            return False
    return len(split) > 1


def evaluate(
    run: "Run",
    weights: Path,
    data: Summary,
    test: Split,
    vectors: Tensor | None,
    device: torch.device,
    content: bytes | None = None,
) -> tuple[float, float | None, list[Layer]]:
    """Score a trained run on the test split, and compare its trained weights with its initial weights.

    Args:
        run: the settings of the run.
        weights: the safetensors file with the trained weights.
        data: the summary of the data set.
        test: the test split.
        vectors: the pretrained word vectors that the run started from, if any.
        device: the device to compute on.
        content: the content of the file with the weights, if the caller has already read it.

    Returns:
        The loss, the accuracy (None if there are no classes), and statistics of the layers before and after training.

    Raises:
        UserError: the weights are missing or damaged.
    """
    make_deterministic(run.seed)
    untrained = build_network(run.workload, data, vectors)  # the same seed gives the same initial weights
    trained = load(run.workload, weights, data, content).to(device)
    # Buffers are left out, because the statistics of batch norm are not learned.
    start, end = (
        {name: weight.detach().cpu().numpy() for name, weight in network.named_parameters()}
        for network in (untrained, trained)
    )
    return *score(trained, test, data, run.workload, device), compare_layers(start, end)


def load(workload: "Workload", weights: Path, data: Summary, content: bytes | None = None) -> nn.Module:
    """Return a trained network with the weights from a file, or from ``content`` if the file has already been read.

    Raises:
        UserError: the weights are missing or damaged, or belong to another network.
    """
    network = build_random(workload, data)
    try:
        restore(network, load_file(weights) if content is None else from_bytes(content))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{weights}: not the weights of this run ({reason}); run `uv run dvc repro` again") from None
    return network
