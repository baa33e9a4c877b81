"""The networks."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from pipeline.datasets.store import Summary
from pipeline.errors import UserError
from pipeline.files import root
from pipeline.losses import LOSSES
from pipeline.networks import pretrained, torchvision_models
from pipeline.networks.cifar_resnet import CifarResNet
from pipeline.networks.gpt import GPT
from pipeline.networks.layout import channels_last
from pipeline.networks.settings import Model, is_torchvision_model, weights_file
from pipeline.user_code import builder, told

if TYPE_CHECKING:
    from pipeline.runs.params import Run

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}


def _dense(sizes: Sequence[int], activation: type[nn.Module]) -> list[nn.Module]:
    """Fully connected layers, an activation after each but the last."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), activation()]
    return layers[:-1]


class MLP(nn.Module):
    """A multilayer perceptron: fully connected layers with an activation between.

    Input (batch, channels, height, width) or (batch, features), output (batch, outputs): logits, or numbers.
    """

    def __init__(
        self, input_shape: Sequence[int], outputs: int, hidden: Sequence[int], activation: str, output: str
    ) -> None:
        super().__init__()
        layers = _dense([prod(input_shape), *hidden, outputs], ACTIVATIONS[activation])
        if output == "relu":
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(nn.Flatten(), *layers)

    def row(self) -> list[nn.Module]:
        """Return the parts that the forward pass calls, one after another."""
        return [self.layers]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)
        return logits


class MaxPool(nn.MaxPool2d):
    """Max pooling in the channels-last format, which takes a tenth of the time; convolutions keep the format.

    Input and output (batch, channels, height, width).
    """

    def forward(self, x: Tensor) -> Tensor:
        pooled: Tensor = super().forward(channels_last(x))
        return pooled


class LeNet(nn.Module):
    """Two 5 x 5 convolutions, each with ReLU and 2 x 2 max pooling, then fully connected layers with ReLU between.

    As PyTorch's CIFAR-10 tutorial has it, after LeCun, Bottou, Bengio & Haffner 1998. Input (batch, channels, height,
    width), output (batch, outputs): logits.
    """

    def __init__(
        self, input_shape: Sequence[int], outputs: int, channels: Sequence[int], hidden: Sequence[int]
    ) -> None:
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(input_shape[0], first, 5),
            nn.ReLU(),
            MaxPool(2),
            nn.Conv2d(first, second, 5),
            nn.ReLU(),
            MaxPool(2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(*_dense([second * _left(input_shape), *hidden, outputs], nn.ReLU))

    def row(self) -> list[nn.Module]:
        """Return the parts that the forward pass calls, one after another."""
        return [self.features, self.classifier]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x))
        return logits


class CNN(nn.Module):
    """Two 5 x 5 convolutions with 2 x 2 max pooling, the second with dropout, then dense layers.

    Input (batch, channels, height, width), output (batch, outputs): log-softmax.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        channels: Sequence[int],
        hidden: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(input_shape[0], first, 5),
            MaxPool(2),
            nn.ReLU(),
            nn.Conv2d(first, second, 5),
            nn.Dropout(dropout),
            MaxPool(2),
            nn.ReLU(),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(*_dense([second * _left(input_shape), *hidden, outputs], nn.ReLU))

    def row(self) -> list[nn.Module]:
        """Return the parts that the forward pass calls, one after another."""
        return [self.features, self.classifier, nn.LogSoftmax(dim=-1)]

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(self.classifier(self.features(x)), dim=1)


def _left(input_shape: Sequence[int]) -> int:
    """Return the pixels that two 5 x 5 convolutions, each with 2 x 2 pooling, leave of a picture."""
    _, *sides = input_shape
    left = [((side - 4) // 2 - 4) // 2 for side in sides]
    if min(left) < 1:
        raise UserError(
            f"pictures of {' x '.join(map(str, sides))} pixels are too small for this model, which needs 16"
        )
    return prod(left)


class LSTM(nn.Module):
    """A bidirectional LSTM over word embeddings; its last hidden states of both directions make the output.

    Input (batch, length): word indices, padded with 0; output (batch, outputs): logits. It computes what
    `nn.LSTM` does with a packed sequence, with one `nn.LSTM` a layer and direction: on a CPU the backward pass of a
    packed sequence of different lengths is several times slower.

    Source: Hochreiter & Schmidhuber 1997, "Long Short-Term Memory"; Schuster & Paliwal 1997, "Bidirectional Recurrent
    Neural Networks".
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        outputs: int,
        embedding: int,
        hidden: int,
        layers: int,
        dropout: float,
        vocabulary_size: int,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=0)
        sizes = [embedding] + [2 * hidden] * (layers - 1)
        self.forwards, self.backwards = (
            nn.ModuleList(nn.LSTM(size, hidden, batch_first=True) for size in sizes) for _ in range(2)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        lengths = (x != 0).sum(dim=1).clamp(min=1)
        positions = torch.arange(x.shape[1], device=x.device)
        reverse = lengths[:, None] - 1 - positions
        reverse = torch.where(reverse >= 0, reverse, positions)[:, :, None]  # the padding stays where it is
        states = self.embedding(x)
        for number, (forwards, backwards) in enumerate(zip(self.forwards, self.backwards, strict=True)):
            if number > 0:
                states = self.dropout(states)
            ahead, _ = forwards(states)
            behind, _ = backwards(states.gather(1, reverse.expand_as(states)))
            states = torch.cat([ahead, behind.gather(1, reverse.expand_as(behind))], dim=2)
        last = (lengths - 1)[:, None, None].expand(-1, 1, ahead.shape[2])
        ends = torch.cat([ahead.gather(1, last), behind.gather(1, last)], dim=2).squeeze(1)
        logits: Tensor = self.output(self.dropout(ends))
        return logits


NETWORKS: dict[str, type[nn.Module]] = {
    "mlp": MLP,
    "lenet": LeNet,
    "cnn": CNN,
    "lstm": LSTM,
    "cifar-resnet": CifarResNet,
    "gpt": GPT,
}


def build(run: "Run", data: Summary, vectors: Tensor | None = None) -> nn.Module:
    """Build the network that a run begins with, its random weights drawn from torch's global generator.

    Args:
        run: what to build it for.
        data: the summary of the data that it is trained on.
        vectors: pretrained word vectors to begin with, (vocabulary, dimensions).

    Raises:
        UserError: it cannot be built.
    """
    network = construct(run, data)
    if vectors is not None:
        _begin_with(vectors, network, run.model.name)
    if file := weights_file(run.model):
        pretrained.begin_with(root() / file, network)
    return network


def notes(run: "Run", data: Summary) -> list[str]:
    """Return what a user should know of the network that a run begins with, a line each."""
    file = weights_file(run.model)
    return pretrained.begin_with(root() / file, construct(run, data)) if file else []


def check(model: Model) -> None:
    """Check that torchvision builds a model so, without data.

    Raises:
        UserError: it does not.
    """
    with _errors_of(model.name):
        torchvision_models.check(**model.model_dump(exclude={"weights"}))


def construct(run: "Run", data: Summary) -> nn.Module:
    """Build the network of a run with random weights alone, to load others into; see `build`."""
    if run.loss == "bce-with-logits" and len(data.classes) != 2:
        raise UserError(f"loss {run.loss} is for two classes; {data.dataset} has {len(data.classes)}")
    shape = data.input_shape if run.max_length is None else [run.max_length]
    arguments = run.model.model_dump(exclude={"name"})
    if is_torchvision_model(run.model.name):
        del arguments["weights"]  # the user's file, and not what torchvision means by it
    if data.vocabulary_size:
        arguments["vocabulary_size"] = data.vocabulary_size
    outputs = LOSSES[run.loss].outputs(len(data.classes), data.vocabulary_size)
    return _build(run.model.name, shape, outputs, arguments)


def _build(name: str, input_shape: Sequence[int], outputs: int, arguments: Mapping[str, Any]) -> nn.Module:
    """Call the class of that name, or torchvision's or the user's builder, which may raise anything."""
    if name in NETWORKS:
        return NETWORKS[name](input_shape, outputs, **arguments)
    build = partial(torchvision_models.build, name=name) if is_torchvision_model(name) else builder("model", name)
    with _errors_of(name):
        network = build(tuple(input_shape), outputs, **arguments)
    if not isinstance(network, nn.Module):
        raise UserError(f"model {name}: returns {type(network).__name__}, not a torch.nn.Module")
    return network


@contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Turn whatever a builder raises into one line."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"model {name}: {told(error)}") from error


def _begin_with(vectors: Tensor, network: nn.Module, name: str) -> None:
    """Copy pretrained word vectors into the network's first embedding."""
    embedding = next((each for each in network.modules() if isinstance(each, nn.Embedding)), None)
    if embedding is None or embedding.weight.shape != vectors.shape:
        has = "no embedding" if embedding is None else f"an embedding of {tuple(embedding.weight.shape)}"
        raise UserError(f"the word vectors are {tuple(vectors.shape)}, but model {name} has {has}")
    embedding.weight.data.copy_(vectors)
