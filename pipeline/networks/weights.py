"""Functions that load weights into a network."""

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.user_files import missing

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""Prefixes that mark the weights of auxiliary classifiers in files for `googlenet` and `inception_v3`."""
COUNTER = "num_batches_tracked"
"""Name of a batch norm buffer that this project's networks do not use and old versions of torch did not save."""
State = Mapping[str, Tensor]
"""Maps the names of weights and buffers to their values."""


def restore(network: nn.Module, state: State) -> None:
    """Load all weights and buffers in ``state`` into a network.

    A network's `state_dict` also contains the version of each module, but ``state`` does not. Without a version, some
    modules, such as torchvision's MNASNet, refuse the weights, and other modules treat the weights as if they came from
    an old version. The versions are therefore copied from ``network``.

    Raises:
        RuntimeError: the weights belong to a different network.
    """
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    network.load_state_dict(versioned)


def load_pretrained(path: Path, network: nn.Module) -> list[str]:
    """Load pretrained weights from a file into a network.

    Auxiliary classifiers in the file are ignored, and so is a head for a different number of classes. All other weights
    must match the network's weights.

    Args:
        path: a .safetensors file, or a file written by `torch.save(network.state_dict(), path)`.
        network: a torchvision model.

    Returns:
        Lines for the user, one for each ignored part of the file.

    Raises:
        UserError: the file cannot be read, or holds the weights of a different network.
    """
    in_file, wanted = _read(path), network.state_dict()
    state = {name: tensor for name, tensor in in_file.items() if not name.startswith(AUXILIARY)}
    notes = [f"{path}: auxiliary classifiers are left out"] if len(state) < len(in_file) else []
    head = head_name(network)
    of_head = {name for name in wanted if name.startswith(f"{head}.")}
    resized = [name for name in of_head & set(state) if state[name].shape != wanted[name].shape]
    if resized:
        classes, ours = len(state[resized[0]]), len(wanted[resized[0]])
        notes.append(f"{path}: its head {head} is for {classes} classes, not {ours}; it is left out and starts random")
        state = {name: tensor for name, tensor in state.items() if name not in of_head}
    optional = {name for name in wanted if name.endswith(COUNTER)} | (of_head if resized else set())
    _check(path, state, wanted, optional)
    restore(network, wanted | state)
    return notes


def head_name(network: nn.Module) -> str:
    """Return the name of a network's head, which is its last linear layer or convolution."""
    names: list[str] = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    return names[-1]


def copy_word_vectors(vectors: Tensor, network: nn.Module, model: str) -> None:
    """Copy pretrained word vectors of shape (vocabulary, dimensions) into the first embedding of a network.

    Raises:
        UserError: the network has no embedding, or its first embedding has a different shape. The message calls the
            network ``model``.
    """
    embedding = next((module for module in network.modules() if isinstance(module, nn.Embedding)), None)
    if embedding is None or embedding.weight.shape != vectors.shape:
        has = "no embedding" if embedding is None else f"an embedding of {tuple(embedding.weight.shape)}"
        raise UserError(f"the word vectors are {tuple(vectors.shape)}, but model {model} has {has}")
    embedding.weight.data.copy_(vectors)


def _read(path: Path) -> State:
    """Return the weights and buffers in a file, without running any code that the file contains."""
    try:
        if path.suffix == ".safetensors":
            state: State = load_file(path)
            return state
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        first = next(iter(str(error).strip().splitlines()), "damaged")
        raise UserError(f"{path}: not a file of weights ({type(error).__name__}: {first[:200]})") from None
    is_mapping = isinstance(content, Mapping)
    if not is_mapping or not all(isinstance(value, Tensor) for value in content.values()):
        holds = f"the keys {', '.join(map(str, list(content)[:5]))}" if is_mapping else f"a {type(content).__name__}"
        raise UserError(f"{path}: holds {holds}, not weights by name, as torch.save(model.state_dict(), ...) writes")
    return dict(content)


def _check(path: Path, state: State, wanted: State, optional: set[str]) -> None:
    """Raise a UserError if the weights in ``state`` and ``wanted`` (the network's state) differ in name or shape.

    The weights named in ``optional`` may be missing from ``state``.
    """
    problems = []
    for name in wanted:
        if name in state:
            has, takes = (" x ".join(map(str, weights[name].shape)) for weights in (state, wanted))
            if has != takes:
                problems.append(f"{name} is {has}, and the model's {takes}")
    problems += [f"{name} is missing" for name in wanted if name not in state and name not in optional]
    problems += [f"the model has no {name}" for name in state if name not in wanted]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{path}: not weights of this model: {problems[0]}{more}")
