"""Weights that a network of torchvision begins with, from a file of the user's."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipeline.errors import UserError
from pipeline.networks.restoring import restore
from pipeline.networks.torchvision_models import head
from pipeline.user_files import missing

AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")
"""What the weights of auxiliary classifiers begin with in the files of `googlenet` and `inception_v3`."""
COUNTER = "num_batches_tracked"
"""A buffer of batch norm that old files lack; nothing here reads it."""
State = Mapping[str, Tensor]
"""Weights and buffers by name."""


def begin_with(path: Path, network: nn.Module) -> list[str]:
    """Copy the weights of a file into a network.

    A head for another number of classes is left out, and so are auxiliary classifiers; all else must match.

    Args:
        path: .safetensors, or what `torch.save(network.state_dict(), path)` writes.
        network: of torchvision.

    Returns:
        What of the file is left out, a line each.

    Raises:
        UserError: the file cannot be read, or holds the weights of another network.
    """
    given, wanted = _read(path), network.state_dict()
    found = {name: each for name, each in given.items() if not name.startswith(AUXILIARY)}
    notes = [f"{path}: auxiliary classifiers are left out"] if len(found) < len(given) else []
    last = head(network)
    of_head = {name for name in wanted if name.startswith(f"{last}.")}
    other = [name for name in of_head & set(found) if found[name].shape != wanted[name].shape]
    if other:
        classes, ours = len(found[other[0]]), len(wanted[other[0]])
        notes.append(f"{path}: its head {last} is for {classes} classes, not {ours}; it is left out, and begins random")
        found = {name: each for name, each in found.items() if name not in of_head}
    optional = {name for name in wanted if name.endswith(COUNTER)} | (of_head if other else set())
    _check(path, found, wanted, optional)
    restore(network, wanted | found)
    return notes


def _read(path: Path) -> State:
    """Read a file of weights; no code in it is run."""
    try:
        if path.suffix == ".safetensors":
            found: State = load_file(path)
            return found
        given: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, EOFError, RuntimeError, ValueError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        first = next(iter(str(error).strip().splitlines()), "damaged")
        raise UserError(f"{path}: no file of weights ({type(error).__name__}: {first[:200]})") from None
    is_named = isinstance(given, Mapping)
    if not is_named or not all(isinstance(each, Tensor) for each in given.values()):
        holds = f"the keys {', '.join(map(str, list(given)[:5]))}" if is_named else f"a {type(given).__name__}"
        raise UserError(f"{path}: holds {holds}, not weights by name, as torch.save(model.state_dict(), ...) writes")
    return dict(given)


def _check(path: Path, found: State, wanted: State, optional: set[str]) -> None:
    """Check that the weights of a file are those of the network, by names and shapes.

    Raises:
        UserError: they are not.
    """
    shapes = {name: tuple(" x ".join(map(str, of[name].shape)) for of in (found, wanted))
              for name in wanted if name in found}  # fmt: skip
    problems = [f"{name} is {has}, and the model's {takes}" for name, (has, takes) in shapes.items() if has != takes]
    problems += [f"{name} is missing" for name in wanted if name not in found and name not in optional]
    problems += [f"the model has no {name}" for name in found if name not in wanted]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise UserError(f"{path}: not weights of this model: {problems[0]}{more}")
