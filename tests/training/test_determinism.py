"""Determinism: threads where they change no bit, and algorithms that do not either."""

import os
from collections.abc import Iterator

import pytest
import torch

from pipeline.networks.networks import LSTM
from pipeline.optimizers.optimizers import SGD
from pipeline.training.determinism import MOST_THREADS, make_device_deterministic, use_threads
from pipeline.training.stacks import thread_invariant
from tests.helpers.project import load

PLAIN = SGD.model_validate({"class": "SGD"})


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_a_network_whose_bits_depend_on_threads_gets_one() -> None:
    convolution = torch.nn.Conv2d(1, 2, 3)
    assert not thread_invariant(convolution, 64)
    torch.set_num_threads(2)
    use_threads(2, convolution, 64, PLAIN)
    assert torch.get_num_threads() == 1


@pytest.mark.parametrize("name", ["NAdam", "Adafactor"])
def test_an_optimizer_that_may_sum_over_weights_gets_one(name: str) -> None:
    network = LSTM((4,), 1, embedding=2, hidden=2, layers=1, dropout=0.0, vocabulary_size=9)
    other = load(optimizers__other={"class": name}).optimizers["other"]
    for optimizer, threads in ((PLAIN, 2), (other, 1)):
        use_threads(2, network, 64, optimizer)
        assert torch.get_num_threads() == threads


def test_a_cuda_device_gets_deterministic_algorithms_and_a_cpu_nothing() -> None:
    make_device_deterministic("cpu")
    assert not torch.are_deterministic_algorithms_enabled()
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ
    make_device_deterministic("cuda")
    assert torch.are_deterministic_algorithms_enabled()
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


def test_threads_beyond_what_pays_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[int] = []
    monkeypatch.setattr("pipeline.training.determinism.thread_invariant", lambda network, batch_size: True)
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    use_threads(64, torch.nn.Linear(1, 1), 1, PLAIN)
    monkeypatch.undo()
    assert used == [MOST_THREADS]
