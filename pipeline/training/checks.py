"""Functions that check before training whether the data, network, transforms and device are compatible."""

from typing import TYPE_CHECKING

import torch
from torch import nn

from pipeline.datasets.store import Split, Summary
from pipeline.errors import UserError, plural
from pipeline.losses import LOSSES
from pipeline.networks.torchvision_model import TorchvisionModel
from pipeline.training.evaluation import outputs_of, scored_at_once
from pipeline.training.precision import check_precision
from pipeline.training.training_set import TrainingSet, inputs

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload


def check_outputs(network: nn.Module, split: Split, data: Summary, workload: "Workload", device: torch.device) -> None:
    """Check that the network and the augmentation work on one or two examples of ``split``.

    Raises:
        UserError: the network does not accept the examples; its outputs do not have the shape (examples, outputs) or,
            for tokens, (examples, context, vocabulary); a transform does not accept the pictures; or the device cannot
            compute in the workload's precision.
    """
    check_precision(workload, device)
    name, dataset = workload.model.name, workload.dataset.name
    channels = len(workload.normalize.mean) if workload.normalize else 1
    if channels not in (1, data.input_shape[0] if data.input_shape else 1):
        raise UserError(f"normalize is for {channels} channels, but {dataset} has {data.input_shape[0]}")
    number = min(2, scored_at_once(data, workload))
    few = Split(split.x[:number], split.y[:number])
    if workload.augment:
        TrainingSet(few, data, workload, device).take([slice(None)], [(0, 1, 0)])
    tokens = data.input_shape if data.kind == "tokens" else ()
    expected = (len(few), *tokens, LOSSES[workload.loss].outputs(len(data.classes), data.vocabulary_size))
    try:
        (output, _), *_ = outputs_of(network, few, data, workload, device)
    except Exception as error:  # a user's network may raise any exception
        reason = " ".join(str(error).split()) + _least_size(workload, data)
        raise UserError(f"model {name} does not take the data of {dataset}: {reason}") from error
    shape = tuple(getattr(output, "shape", ()))
    if shape != expected:
        raise UserError(
            f"model {name} returns {shape or type(output).__name__} for {plural(number, 'example')}; it must return "
            f"{expected}"
        )


def _least_size(workload: "Workload", data: Summary) -> str:
    """Return a note for an error message if the pictures are too small for torchvision's model, or else ""."""
    if not isinstance(workload.model, TorchvisionModel):
        return ""
    least, sides = workload.model.least_size, data.input_shape[1:]
    if all(side >= enough for side, enough in zip(sides, least, strict=True)):
        return ""
    has, takes = (" x ".join(map(str, sizes)) for sizes in (sides, least))
    return f" (pictures of {has} pixels; torchvision says at least {takes})"


def check_training(network: nn.Module, split: Split, data: Summary, workload: "Workload", device: torch.device) -> None:
    """Check that gradients can be computed for two examples, or for one example if an epoch ends with a batch of one.

    In training mode, batch norm fails on a batch with a single value for each channel. The training loop keeps the last
    batch even if it has only one example, so the user must then choose another batch size. The check changes the
    network, so do not train this network afterwards.

    Raises:
        UserError: the network cannot be trained.
    """
    batch_size = workload.batch_size
    number = 1 if len(split) % batch_size == 1 or batch_size == 1 else min(2, len(split))
    x, y = split.x[:number].to(device), split.y[:number].to(device)
    network.train()
    try:
        LOSSES[workload.loss].of(network(inputs(x, data, workload)), y).backward()
    except Exception as error:  # a user's network may raise any exception
        reason = " ".join(str(error).split())
        problem = f"model {workload.model.name} cannot be trained on {workload.dataset.name}: {reason}"
        if number == 1:
            problem += (
                f"; {len(split)} examples in batches of {batch_size} leave one for the last: set another batch_size"
            )
        raise UserError(problem) from error
