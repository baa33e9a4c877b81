"""Checkpoints: a run that was stopped goes on, and ends bit for bit where it would have ended.

.cache/checkpoints/<fingerprint>  in its first line the SHA-256 of the rest; then the tensors of the state in the
                                  safetensors format, in whose metadata JSON says how they belong together
"""

import hashlib
import json
import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline.errors import DamagedError
from pipeline.files import replacing

SHARE = 0.03
"""How much of a run's time may go into saving it."""
State = dict[str, Any]
"""Dictionaries, lists and tuples of tensors, numbers, strings and None, as torch's `state_dict` have them."""


class Pace:
    """When it is time to save again.

    Args:
        every: seconds between two saves, at the least.
    """

    def __init__(self, every: float) -> None:
        self.every = every
        self._next: float = time.monotonic() + every

    def due(self) -> bool:
        """Whether the last save is long enough ago."""
        return time.monotonic() >= self._next

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Save in the block; the longer it takes, the later is the next."""
        begun = time.monotonic()
        yield
        now = time.monotonic()
        self._next = now + max(self.every, (now - begun) / SHARE)

    def cease(self) -> None:
        """Save no more."""
        self.every = self._next = math.inf


class Checkpoint:
    """The one checkpoint of a run.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, state: State) -> None:
        """Write ``state``, whole or not at all, in place of the last.

        Raises:
            OSError: it cannot be written.
        """
        tensors: dict[str, Tensor] = {}
        tree = json.dumps(_taken_apart(state, tensors))
        content = save(tensors, {"state": tree})
        with replacing(self.path) as draft, draft.open("wb") as file:
            file.write(f"{hashlib.sha256(content).hexdigest()}\n".encode())
            file.write(content)

    def load(self) -> State | None:
        """What was saved last; None where nothing was.

        Raises:
            DamagedError: the file is not as it was written.
        """
        try:
            digest, _, content = self.path.read_bytes().partition(b"\n")
            if hashlib.sha256(content).hexdigest().encode() != digest:
                raise DamagedError(f"{self.path}: not as it was written")
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            state: State = _put_together(json.loads(header["__metadata__"]["state"]), load(content))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise DamagedError(f"{self.path}: {error}") from None
        return state

    def remove(self) -> None:
        """Forget it: the run has ended. One that cannot be removed does no harm."""
        with suppress(OSError):
            self.path.unlink()


def _taken_apart(value: Any, tensors: dict[str, Tensor]) -> Any:
    """JSON for ``value``; what it has of tensors goes into ``tensors``, under numbers that the JSON names."""
    match value:
        case Tensor():
            tensors[name := str(len(tensors))] = value.detach().cpu().contiguous()
            return {"tensor": name}
        case Counter():  # MultiStepLR asks it how often a step is a milestone, and gets 0 for all others
            return {"counter": [[key, count] for key, count in value.items()]}
        case dict():  # in pairs, as JSON's own objects have no numbers for keys, which an optimizer's state has
            return {"dict": [[key, _taken_apart(each, tensors)] for key, each in value.items()]}
        case tuple():
            return {"tuple": [_taken_apart(each, tensors) for each in value]}
        case list():
            return [_taken_apart(each, tensors) for each in value]
        case None | bool() | int() | float() | str():
            return value
    raise TypeError(f"a checkpoint cannot hold {type(value).__name__}")


def _put_together(tree: Any, tensors: dict[str, Tensor]) -> Any:
    match tree:
        case {"tensor": name}:
            return tensors[name]
        case {"counter": pairs}:
            return Counter(dict(pairs))
        case {"dict": pairs}:
            return {key: _put_together(each, tensors) for key, each in pairs}
        case {"tuple": parts}:
            return tuple(_put_together(each, tensors) for each in parts)
        case list():
            return [_put_together(each, tensors) for each in tree]
    return tree
