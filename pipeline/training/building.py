"""Functions that build a run's network to fit the run's data."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from pipeline.datasets.store import Summary
from pipeline.errors import UserError
from pipeline.files import root
from pipeline.losses import LOSSES
from pipeline.networks.weights import copy_word_vectors, load_pretrained

if TYPE_CHECKING:
    from pipeline.runs.workload import Workload


def build_network(workload: "Workload", data: Summary, vectors: Tensor | None = None) -> nn.Module:
    """Return the network of a run with its initial weights; random weights come from torch's global generator.

    Args:
        workload: the workload of the run.
        data: the summary of the data set.
        vectors: pretrained word vectors to start from, (vocabulary, dimensions).

    Raises:
        UserError: the network cannot be built.
    """
    network = build_random(workload, data)
    if vectors is not None:
        copy_word_vectors(vectors, network, workload.model.name)
    if file := workload.model.weights_file:
        load_pretrained(root() / file, network)
    return network


def build_random(workload: "Workload", data: Summary) -> nn.Module:
    """Return the network of a run with random weights; the caller may then load trained weights into the network.

    Raises:
        UserError: the network cannot be built.
    """
    if workload.loss == "bce-with-logits" and len(data.classes) != 2:
        raise UserError(f"loss {workload.loss} is for two classes; {data.dataset} has {len(data.classes)}")
    shape = data.input_shape if workload.max_length is None else [workload.max_length]
    outputs = LOSSES[workload.loss].outputs(len(data.classes), data.vocabulary_size)
    return workload.model.build(shape, outputs, data.vocabulary_size)


def notes(workload: "Workload", data: Summary) -> list[str]:
    """Return a line for the user about each unused part of the pretrained weights."""
    file = workload.model.weights_file
    return load_pretrained(root() / file, build_random(workload, data)) if file else []
