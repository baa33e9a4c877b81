"""A worker's device, and how torch's out-of-memory errors are reported."""

import pytest
import torch

from pipeline.errors import UserError
from pipeline.sweep.pool import Workers
from pipeline.sweep.worker import memory_errors


def nothing(_: int) -> None:
    """Do nothing."""


@pytest.mark.parametrize("device", ["warp", "gpu", "cuda:99"])
def test_a_missing_device_is_one_line_with_the_available_ones(device: str) -> None:
    with pytest.raises(UserError) as raised, Workers(1, device) as workers:
        list(workers.work(nothing, [0]))
    allowed = str(raised.value).partition("allowed: ")[2].split(", ")
    assert str(raised.value).startswith(f"--device {device}: not on this machine; allowed: auto, cpu")
    assert ("cuda" in allowed) == torch.cuda.is_available()
    assert ("mps" in allowed) == torch.backends.mps.is_available()


def test_a_tensor_too_large_for_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="out of memory"), memory_errors():
        torch.empty(10**15)
    with pytest.raises(RuntimeError, match="shape"), memory_errors():
        torch.empty(2) @ torch.empty(3, 3)
