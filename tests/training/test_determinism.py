"""A run gets several threads only if that does not change its bits, and CUDA uses deterministic algorithms."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from pipeline.networks.lstm import LSTM
from pipeline.networks.mlp import MLP
from pipeline.training import determinism
from pipeline.training.determinism import MAX_THREADS, make_device_deterministic, use_threads
from tests.helpers.project import load


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def threads_of(cores: int, network: torch.nn.Module, **changes: Any) -> int:
    """Return how many threads a run of `mnist-mlp` gets; by default, its optimizer is SGD."""
    run = load(task="mnist-mlp", scheduler="constant", seeds=1, **changes).runs()[0]
    use_threads(cores, run.workload, network)
    return torch.get_num_threads()


def large_mlp() -> torch.nn.Module:
    return MLP(hidden=[300, 200]).build((28, 28), 10)


@pytest.fixture
def on_intel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(determinism, "is_intel", lambda: True)


def test_only_networks_whose_bits_do_not_depend_on_threads_get_several(on_intel: None) -> None:
    lstm = LSTM(embedding=2, hidden=2, layers=1).build((4,), 1, 9)
    small, convolution = MLP(hidden=[4]).build((1, 1), 1), torch.nn.Conv2d(1, 2, 3)
    assert [threads_of(2, network) for network in (large_mlp(), lstm, small, convolution)] == [2, 2, 1, 1]
    assert threads_of(64, lstm) == MAX_THREADS


def test_on_other_processors_a_run_has_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only on Intel's processors does MKL promise that sums do not depend on the number of threads."""
    monkeypatch.setattr(determinism, "is_intel", lambda: False)
    assert threads_of(2, large_mlp()) == 1


@pytest.mark.parametrize("name", ["NAdam", "Adafactor"])
def test_an_optimizer_that_may_sum_over_weights_gets_one_thread(name: str, on_intel: None) -> None:
    assert threads_of(2, large_mlp(), optimizers__other={"class": name}, optimizer="other", lr=0.1) == 1


def test_clipping_sums_over_weights_and_gets_one_thread(on_intel: None) -> None:
    assert threads_of(2, large_mlp(), **{"tasks__mnist-mlp__clip_grad_norm": 1.0}) == 1


def test_deterministic_algorithms_are_turned_on_only_for_cuda() -> None:
    make_device_deterministic("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    make_device_deterministic("cuda")
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
