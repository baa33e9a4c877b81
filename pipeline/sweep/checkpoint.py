"""Checkpoints: a run that was stopped goes on, and ends bit for bit where it would have ended.

.cache/checkpoints/<fingerprint>  in its first line the SHA-256 of the rest; then the tensors of the state in the
                                  safetensors format, in whose metadata JSON says how they belong together
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
"""The largest share of a run's time that saving it may take."""
State = dict[str, Any]
"""Dictionaries, lists and tuples of tensors, numbers, strings and None, as torch's `state_dict` have them."""


class Pace:
    """The times at which to save.

    Args:
        every: seconds between two saves, at the least.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self._next: float = time.monotonic() + every

    def due(self) -> bool:
        """Return True if the last save is long enough ago."""
        return time.monotonic() >= self._next

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Save in the block; the longer that takes, the later the next save is due."""
        begun = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + max(self.every, (now - begun) / SHARE)

    def cease(self) -> None:
        """Never save again."""
        self.every = self._next = math.inf


class Checkpoint:
    """The one checkpoint of a run.

    Args:
        path: the file.
        read: reads it, where it is on another machine; raises an OSError if it cannot.
        write: writes it, whole or not at all, from its parts, there.
    """

    def __init__(
        self,
        path: Path,
        read: Callable[[Path], bytes] = Path.read_bytes,
        write: Callable[[Path, Sequence[bytes]], None] = write_parts,
    ) -> None:
        self.path, self._read, self._write = path, read, write

    def save(self, state: State) -> None:
        """Write ``state``, whole or not at all, in place of the last.

        Raises:
            OSError: it cannot be written.
        """
        content = packed(state)
        self._write(self.path, [f"{hashlib.sha256(content).hexdigest()}\n".encode(), content])

    def load(self) -> State | None:
        """Return what was saved last; None where nothing was.

        Raises:
            DamagedError: the file is not as it was written.
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
    """Return a state in the safetensors format.

    Raises:
        TypeError: something in it is neither a tensor nor what JSON can hold.
    """
    tensors: dict[str, Tensor] = {}
    tree = json.dumps(_to_json(state, tensors))
    return save(tensors, {"state": tree})


def unpacked(content: bytes) -> State:
    """Return a state from what `packed` returned.

    Raises:
        ValueError, KeyError, SafetensorError: it is damaged.
    """
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    state: State = _from_json(json.loads(header["__metadata__"]["state"]), load(content))
    return state


def _to_json(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Turn ``value`` into JSON; its tensors go into ``tensors``, under numbers that the JSON names."""
    match value:
        case Tensor():
            found = value.detach().cpu().contiguous()
            if any(found.data_ptr() == other.data_ptr() for other in tensors.values()):
                found = found.clone()  # the format takes no tensor twice, as networks with tied weights have them
            tensors[name := str(len(tensors))] = found
            return {"tensor": name}
        case Counter():  # MultiStepLR asks it how often a step is a milestone, and gets 0 for all others
            return {"counter": [[key, count] for key, count in value.items()]}
        case dict():  # in pairs, as JSON's own objects have no numbers for keys, which an optimizer's state has
            return {"dict": [[key, _to_json(each, tensors)] for key, each in value.items()]}
        case tuple():
            return {"tuple": [_to_json(each, tensors) for each in value]}
        case list():
            return [_to_json(each, tensors) for each in value]
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
            return {key: _from_json(each, tensors) for key, each in pairs}
        case {"tuple": parts}:
            return tuple(_from_json(each, tensors) for each in parts)
        case list():
            return [_from_json(each, tensors) for each in tree]
    return tree
