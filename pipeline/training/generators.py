"""Random numbers of a run: those that its network draws come from a generator of its own, whoever trains beside it."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def of_device(device: torch.device) -> torch.Generator:
    """Return torch's own generator of a device, which networks draw from."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


def copy_of(generator: torch.Generator) -> torch.Generator:
    """Return another generator that draws the same."""
    other = torch.Generator(generator.device)
    other.set_state(generator.get_state())
    return other


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let networks draw from ``generator`` in the block; None: from torch's own, as ever."""
    if generator is None:
        yield
        return
    own = of_device(generator.device)
    before = own.get_state()
    own.set_state(generator.get_state())
    try:
        yield
        generator.set_state(own.get_state())
    finally:
        own.set_state(before)
