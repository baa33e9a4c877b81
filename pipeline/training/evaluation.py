"""The test set, once, after training; and what became of the weights."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.data import Split, Summary
from pipeline.errors import UserError
from pipeline.records import WEIGHTS, Record, Score
from pipeline.training.loop import Training, network, score
from pipeline.training.weights import Layer, parameters


@dataclass(frozen=True)
class Evaluation:
    """What there is to say of a trained network."""

    score: Score
    layers: list[Layer]


def evaluate(
    record: Record, folder: Path, data: Summary, test: Split, vectors: Tensor | None, device: torch.device
) -> Evaluation:
    """The figures of a trained run on the test set, and its layers before and after training.

    Args:
        record: the run.
        folder: where its weights are.
        data: the summary of the data that ``test`` is a part of.
        test: the test part.
        vectors: the pretrained word vectors that it began with.
        device: where to compute.

    Raises:
        UserError: the weights are missing or damaged.
    """
    trained = load(record, folder, data).to(device)
    begun = Training(record.run, data, torch.device("cpu"), vectors).model  # the seed gives the same weights again
    start, end = ({name: each.cpu().numpy() for name, each in net.state_dict().items()} for net in (begun, trained))
    return Evaluation(Score(*score(trained, test, data, record.run, device)), parameters(start, end))


def load(record: Record, folder: Path, data: Summary) -> nn.Module:
    """The trained network of a run."""
    trained = network(record.run, data)
    try:
        trained.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder / WEIGHTS}: not the weights of this run ({reason}); run `dvc repro` again") from None
    return trained
