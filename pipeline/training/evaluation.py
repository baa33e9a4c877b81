"""Scores of a network on a split, and what is said of a trained one on the test set."""

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
from pipeline.errors import UserError, plural
from pipeline.losses import LOSSES
from pipeline.networks import networks
from pipeline.networks.restoring import restore
from pipeline.networks.settings import is_torchvision_model
from pipeline.networks.torchvision_settings import least_size
from pipeline.outputs import outputs
from pipeline.training.batches import Examples, inputs, resident
from pipeline.training.determinism import make_deterministic
from pipeline.training.precision import autocast, check_precision
from pipeline.training.weights import Layer, parameters

if TYPE_CHECKING:
    from pipeline.runs.params import Run

SCORING_BATCH = {"image": 512, "number": 512, "text": 128}
"""Examples that are scored at once, by their kind: more are faster up to a point, and take memory. Of tokens, as many
as are trained at once."""
SCORING_PIXELS = 512 * 32 * 32
"""Pixels that a deep network scores at once: what it computes of 512 pictures of 224 x 224 takes many gigabytes."""


@torch.no_grad()
def answers(
    network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device, full: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield outputs and targets of ``split`` batch by batch; the shortest texts first, as padding costs.

    They are in the precision of the run; with ``full`` in that of the weights.
    """
    network.eval()
    size = _scored_at_once(data, run)
    x_all, y_all = split.x, split.y
    if device.type != "cpu":
        x_all, y_all = resident(x_all, device), resident(y_all, device)
    if data.kind == "text":
        order = (x_all != 0).sum(dim=1).argsort(stable=True)
        x_all, y_all = x_all[order], y_all[order]
    for x, y in zip(torch.split(x_all, size), torch.split(y_all, size), strict=True):
        with nullcontext() if full else autocast(run, device):
            output = network(inputs(x, data, run))
        yield output, y


def _scored_at_once(data: Summary, run: "Run") -> int:
    """Return how many examples are scored at once."""
    size = SCORING_BATCH.get(data.kind, run.batch_size)  # each token has as many outputs as there are tokens
    if run.model.deep:
        size = max(1, min(size, SCORING_PIXELS // prod(data.input_shape[1:])))
    return size


def score(
    network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device
) -> tuple[float, float | None]:
    """Return loss (mean over the examples, or sum) and accuracy (0 to 1; None without classes) on ``split``."""
    return figures_of(sums(network, split, data, run, device).tolist(), len(split), run)


def figures_of(found: Sequence[float], examples: int, run: "Run") -> tuple[float, float | None]:
    """Return loss and accuracy, as `score` does, of what `sums` has found."""
    loss, (total, correct) = LOSSES[run.loss], found
    return total / (examples if loss.mean else 1), None if loss.correct is None else correct / examples


@torch.no_grad()
def sums(network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device) -> Tensor:
    """Return the sum of the losses on ``split``, and how many answers are right, float64 (2,) on the device."""
    loss = LOSSES[run.loss]
    total = torch.zeros((), dtype=torch.float64, device=device)
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for output, y in answers(network, split, data, run, device):
        total += loss.of(output, y).double() * (len(y) if loss.mean else 1)
        if loss.correct is not None:
            correct += loss.correct(output, y).sum()
    return torch.stack([total, correct.double()])


def answers_all_alike(network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device) -> bool:
    """Return True if the network gives exactly the same output for all of several examples."""
    first = None
    for output, _ in answers(network, split, data, run, device, full=True):  # bfloat16 makes many alike
        first = output[:1] if first is None else first
        if not torch.equal(output, first.expand_as(output)):
            return False
    return len(split) > 1


def check(network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device) -> None:
    """Let a network answer one or two examples of ``split``, and transform them as the run does.

    Raises:
        UserError: it does not take them, its output has another shape than (examples, outputs) or, of tokens,
            (examples, context, vocabulary), a transform does not take them, or the device cannot compute in the run's
            precision.
    """
    check_precision(run, device)
    name = run.model.name
    channels = len(run.normalize.mean) if run.normalize else 1
    if channels not in (1, data.input_shape[0] if data.input_shape else 1):
        raise UserError(f"normalize is for {channels} channels, but {run.dataset.name} has {data.input_shape[0]}")
    number = min(2, _scored_at_once(data, run))
    few = Split(split.x[:number], split.y[:number])
    if run.augment:
        Examples(few, data, run, device).take([slice(None)], [(run.seed, 1, 0)])
    tokens = data.input_shape if data.kind == "tokens" else ()
    expected = (len(few), *tokens, outputs(run.loss, len(data.classes), data.vocabulary_size))
    try:
        (output, _), *_ = answers(network, few, data, run, device)
    except Exception as error:  # whatever a user's network raises
        reason = " ".join(str(error).split()) + _least_size(run, data)
        raise UserError(f"model {name} does not take the data of {run.dataset.name}: {reason}") from error
    shape = tuple(getattr(output, "shape", ()))
    if shape != expected:
        raise UserError(
            f"model {name} answers {plural(number, 'example')} with {shape or type(output).__name__}; it must be "
            f"{expected}"
        )


def _least_size(run: "Run", data: Summary) -> str:
    """Return the end of a line on pictures that are smaller than torchvision says its model takes."""
    if not is_torchvision_model(run.model.name):
        return ""
    least, sides = least_size(run.model.name), data.input_shape[1:]
    if all(side >= enough for side, enough in zip(sides, least, strict=True)):
        return ""
    has, takes = (" x ".join(map(str, each)) for each in (sides, least))
    return f" (pictures of {has} pixels; torchvision says at least {takes})"


def check_training(network: nn.Module, split: Split, data: Summary, run: "Run", device: torch.device) -> None:
    """Let a network train on a few examples of ``split``, or on one if the last batch of an epoch has but one.

    In training mode batch norm needs more than one value of each channel. To leave that example out would make the
    epochs of some batch sizes other ones, so that it is for the user to choose a batch size. The network is of no
    use afterwards.

    Raises:
        UserError: it cannot.
    """
    number = 1 if len(split) % run.batch_size == 1 or run.batch_size == 1 else min(2, len(split))
    x, y = split.x[:number].to(device), split.y[:number].to(device)
    network.train()
    try:
        LOSSES[run.loss].of(network(inputs(x, data, run)), y).backward()
    except Exception as error:  # whatever a user's network raises
        reason = " ".join(str(error).split())
        problem = f"model {run.model.name} cannot be trained on {run.dataset.name}: {reason}"
        if number == 1:
            problem += (
                f"; {len(split)} examples in batches of {run.batch_size} leave one for the last: set another batch_size"
            )
        raise UserError(problem) from error


def evaluate(
    run: "Run",
    weights: Path,
    data: Summary,
    test: Split,
    vectors: Tensor | None,
    device: torch.device,
    content: bytes | None = None,
) -> tuple[float, float | None, list[Layer]]:
    """Score a trained run on the test set, and compare its weights with those that it began with.

    Args:
        run: its settings.
        weights: its safetensors file.
        data: the summary of the data that ``test`` is a split of.
        test: the test split.
        vectors: the pretrained word vectors that it began with.
        device: where to compute.
        content: of that file, where somebody has read it already.

    Returns:
        Loss, accuracy (None without classes), and the layers before and after training.

    Raises:
        UserError: the weights are missing or damaged.
    """
    make_deterministic(run.seed)
    untrained = networks.build(run, data, vectors)  # the seed gives the same weights again
    trained = load(run, weights, data, content).to(device)
    # Weights alone: what batch norm has counted and averaged is not trained, and stays in the weights file.
    start, end = (
        {name: each.detach().cpu().numpy() for name, each in net.named_parameters()} for net in (untrained, trained)
    )
    return *score(trained, test, data, run, device), parameters(start, end)


def load(run: "Run", weights: Path, data: Summary, content: bytes | None = None) -> nn.Module:
    """Load the trained network of a run from the file with its weights, or from the file's ``content``.

    Raises:
        UserError: the weights are missing, damaged, or those of another network.
    """
    network = networks.construct(run, data)
    try:
        restore(network, load_file(weights) if content is None else from_bytes(content))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{weights}: not the weights of this run ({reason}); run `uv run dvc repro` again") from None
    return network
