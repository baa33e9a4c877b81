"""CUDA graphs are off by default, and always off on a CPU; testing anything else about them needs a GPU."""

import pytest
import torch
from torch import Tensor

from pipeline.training.accumulation import WHOLE_STEP, MicroBatch
from pipeline.training.graphs import SWITCH, recorded


def backward(x: Tensor, y: Tensor, part: MicroBatch) -> Tensor:
    return x + y


@pytest.mark.parametrize(("switch", "device"), [(None, "cuda"), ("0", "cuda"), ("1", "cpu")])
def test_nothing_is_recorded_unless_switched_on_and_on_a_gpu(
    switch: str | None, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(SWITCH, raising=False)
    if switch is not None:
        monkeypatch.setenv(SWITCH, switch)
    plain = recorded(backward, torch.device(device), lambda: False)
    assert plain is backward
    assert plain(torch.ones(1), torch.ones(1), WHOLE_STEP) == 2
