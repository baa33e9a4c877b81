"""Random number generators. Each run has its own generator, so other runs in its stack do not affect its numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def of_device(device: torch.device) -> torch.Generator:
    """Return torch's global generator for a device, from which networks draw their random numbers."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[torch.cuda.current_device() if device.index is None else device.index]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


def copy_of(generator: torch.Generator) -> torch.Generator:
    """Return a copy of a generator; the copy draws the same random numbers as the original."""
    other = torch.Generator(generator.device)
    other.set_state(generator.get_state())
    return other


@contextmanager
def drawing_from(generator: torch.Generator) -> Iterator[None]:
    """In the block, let networks draw random numbers from ``generator`` instead of torch's global generator."""
    own = of_device(generator.device)
    before = own.get_state()
    own.set_state(generator.get_state())
    try:
        yield
        generator.set_state(own.get_state())
    finally:
        own.set_state(before)
