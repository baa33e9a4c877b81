"""Scores of a network on a split, and what is said of a trained one on the test set."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.data.store import Split, Summary
from pipeline.errors import UserError
from pipeline.training import networks
from pipeline.training.batches import inputs
from pipeline.training.determinism import make_deterministic
from pipeline.training.losses import LOSSES
from pipeline.training.outputs import outputs
from pipeline.training.weights import Layer, parameters

if TYPE_CHECKING:
    from pipeline.params import Run

SCORING_BATCH = {"image": 512, "number": 512, "text": 128}
"""Examples that are scored at once, by their kind: more are faster up to a point, and take memory. Of tokens, as many
as are trained at once."""


@torch.no_grad()
def answers(
    network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield outputs and targets of ``split`` batch by batch; the shortest texts first, as padding costs."""
    network.eval()
    size = SCORING_BATCH.get(data.kind, run.batch_size)  # each token has as many outputs as there are tokens
    x_all, y_all = split.x, split.y
    if data.kind == "text":
        order = (x_all != 0).sum(dim=1).argsort(stable=True)
        x_all, y_all = x_all[order], y_all[order]
    for x, y in zip(torch.split(x_all, size), torch.split(y_all, size), strict=True):
        yield network(inputs(x.to(device), data, run)), y.to(device)


@torch.no_grad()
def score(
    network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device
) -> tuple[float, float | None]:
    """Return loss (mean over the examples, or sum) and accuracy (0 to 1; None without classes) on ``split``."""
    loss = LOSSES[run.loss]
    total = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for output, y in answers(network, split, data, run, device):
        total += loss.of(output, y).double() * (len(y) if loss.mean else 1)
        if loss.correct is not None:
            correct += loss.correct(output, y).sum()
    accuracy = correct.item() / len(split) if loss.correct is not None else None
    return total.item() / (len(split) if loss.mean else 1), accuracy


def answers_all_alike(network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device) -> bool:
    """Return True if the network gives exactly the same output for all of several examples."""
    first = None
    for output, _ in answers(network, split, data, run, device):
        first = output[:1] if first is None else first
        if not torch.equal(output, first.expand_as(output)):
            return False
    return len(split) > 1


def check(network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device) -> None:
    """Let a network answer two examples of ``split``.

    Raises:
        UserError: it does not take them, or its output has another shape than (examples, outputs), or, of tokens,
            (examples, context, vocabulary).
    """
    name = run.model.name
    channels = len(run.normalize.mean) if run.normalize else 1
    if channels not in (1, data.input_shape[0] if data.input_shape else 1):
        raise UserError(f"normalize is for {channels} channels, but {run.dataset.name} has {data.input_shape[0]}")
    few = Split(split.x[:2], split.y[:2])
    tokens = data.input_shape if data.kind == "tokens" else ()
    expected = (len(few), *tokens, outputs(run.loss, len(data.classes), data.vocabulary_size))
    try:
        (output, _), *_ = answers(network, few, data, run, device)
    except Exception as error:  # whatever a user's network raises
        reason = " ".join(str(error).split())
        raise UserError(f"model {name} does not take the data of {run.dataset.name}: {reason}") from error
    shape = tuple(getattr(output, "shape", ()))
    if shape != expected:
        raise UserError(
            f"model {name} answers {len(few)} examples with {shape or type(output).__name__}; it must be {expected}"
        )


def evaluate(
    run: "Run", weights: Path, data: Summary, test: Split, vectors: Tensor | None, device: torch.device
) -> tuple[float, float | None, list[Layer]]:
    """Score a trained run on the test set, and compare its weights with those that it began with.

    Args:
        run: its settings.
        weights: its safetensors file.
        data: the summary of the data that ``test`` is a split of.
        test: the test split.
        vectors: the pretrained word vectors that it began with.
        device: where to compute.

    Returns:
        Loss, accuracy (None without classes), and the layers before and after training.

    Raises:
        UserError: the weights are missing or damaged.
    """
    make_deterministic(run.seed)
    untrained = networks.build(run, data, vectors)  # the seed gives the same weights again
    trained = load(run, weights, data).to(device)
    start, end = ({name: each.cpu().numpy() for name, each in net.state_dict().items()} for net in (untrained, trained))
    return *score(trained, test, data, run, device), parameters(start, end)


def load(run: "Run", weights: Path, data: Summary) -> nn.Module:
    """Load the trained network of a run.

    Raises:
        UserError: the weights are missing, damaged, or those of another network.
    """
    network = networks.build(run, data)
    try:
        network.load_state_dict(load_file(weights))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{weights}: not the weights of this run ({reason}); run `uv run dvc repro` again") from None
    return network
