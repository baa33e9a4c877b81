"""The test set, once, after training."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from pipeline import models
from pipeline.data import Part, Summary
from pipeline.errors import UserError
from pipeline.records import WEIGHTS, Record, Score
from pipeline.training import score


def evaluate(record: Record, folder: Path, data: Summary, test: Part, device: torch.device) -> Score:
    """The loss and accuracy of a trained run on the test set.

    Args:
        record: the run.
        folder: where its weights are.
        data: the summary of the data that ``test`` is a part of.
        test: the test part.
        device: where to compute.

    Raises:
        UserError: the weights are missing or damaged.
    """
    network = load(record, folder, data).to(device)
    return Score(*score(network, test, data, record.run.loss, device))


def load(record: Record, folder: Path, data: Summary) -> nn.Module:
    """The trained network of a run."""
    network = models.build(record.run.model, data.input_shape, len(data.classes))
    try:
        network.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder / WEIGHTS}: not the weights of this run ({reason}); run `dvc repro` again") from None
    return network
