"""Checkpoints of runs. A run resumed from a checkpoint gives the same result, bit for bit, as an uninterrupted run.

.cache/checkpoints/<fingerprint>  The first line is the SHA-256 digest of the rest of the file. The rest is a
                                  safetensors file with the tensors of a run's state. Its metadata contains JSON
                                  that describes the structure of the state.
"""

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import DamagedError
from pipeline.files import write_parts

SHARE = 0.03
"""The maximum fraction of a run's time that is spent saving checkpoints."""
State = dict[str, Any]
"""The state of a run: nested dictionaries, lists and tuples that contain tensors, numbers, strings and None."""


class Pace:
    """Decides when to save checkpoints, with at least ``every`` seconds between two saves."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._next: float = time.monotonic() + every

    def due(self) -> bool:
        """Return True if it is time to save the next checkpoint."""
        return time.monotonic() >= self._next

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Time the save in the block; if it is slow, wait longer before the next save."""
        begun = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + max(self.every, (now - begun) / SHARE)

    def cease(self) -> None:
        """Save no more checkpoints."""
        self.every = self._next = math.inf


class Checkpoint:
    """The checkpoint of a run, stored in the file ``path``.

    Args:
        path: the file, on this machine or on the parent's machine.
        read: returns the content of the file, or raises an OSError.
        write: writes the parts of the file, either completely or not at all.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], bytes] = Path.read_bytes,
        write: Callable[[Path, Sequence[bytes]], None] = write_parts,
    ) -> None:
        self.path, self._read, self._write = path, read, write

    def save(self, state: State) -> None:
        """Save ``state`` as the checkpoint; if this fails, the previous checkpoint is kept.

        Raises:
            OSError: the file cannot be written.
        """
        content = packed(state)
        self._write(self.path, [f"{hashlib.sha256(content).hexdigest()}\n".encode(), content])

    def load(self) -> State | None:
        """Return the last saved state, or None if there is no checkpoint.

        Raises:
            DamagedError: the file cannot be read, or has changed since it was written.
        """
        try:
            digest, _, content = self._read(self.path).partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != digest:
                raise DamagedError(f"{self.path}: not as it was written")
            state = unpacked(content)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise DamagedError(f"{self.path}: {error}") from None
        return state


def packed(state: State) -> bytes:
    """Return ``state`` as bytes in the safetensors format.

    Raises:
        TypeError: the state contains an object that is neither a tensor nor a value that JSON allows.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_to_json(state, tensors))
    return save(tensors, {"state": tree})


def unpacked(content: bytes) -> State:
    """Return the state that `packed` converted to ``content``.

    Raises:
        ValueError, KeyError, SafetensorError: ``content`` is damaged.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    state: State = _from_json(json.loads(header["__metadata__"]["state"]), load(content))
    return state


def _to_json(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Convert ``value`` to a form that JSON allows; add each tensor to ``tensors``, and replace it with its key."""
    match value:
        case Tensor():
            tensor = value.detach().cpu().contiguous()
            if any(tensor.data_ptr() == other.data_ptr() for other in tensors.values()):
                tensor = tensor.clone()  # tied weights share memory, which safetensors does not allow
            tensors[name := str(len(tensors))] = tensor
            return {"tensor": name}
        case Counter():  # MultiStepLR keeps its milestones in a Counter, which returns 0 for missing keys
            return {"counter": [[key, count] for key, count in value.items()]}
        case dict():  # as pairs, because optimizer states have numbers as keys, which JSON does not allow
            return {"dict": [[key, _to_json(item, tensors)] for key, item in value.items()]}
        case tuple():
            return {"tuple": [_to_json(item, tensors) for item in value]}
        case list():
            return [_to_json(item, tensors) for item in value]
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _from_json(tree: Any, tensors: dict[str, Tensor]) -> Any:
    match tree:
        case {"tensor": name}:
            return tensors[name]
        case {"counter": pairs}:
            return Counter(dict(pairs))
        case {"dict": pairs}:
            return {key: _from_json(item, tensors) for key, item in pairs}
        case {"tuple": items}:
            return tuple(_from_json(item, tensors) for item in items)
        case list():
            return [_from_json(item, tensors) for item in tree]
    return tree
