"""A slot counts what it has trained, and knows what is lost with its process."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
import torch

from pipeline.stages.common import Machine
from pipeline.sweep import worker
from pipeline.sweep.engines import Handshake, Loss, local
from pipeline.sweep.engines.local import Local, context


def count(epochs: int) -> int:
    worker.desk().count(epochs)
    return os.getpid()


def die(epochs: int) -> None:
    worker.desk().count(epochs)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_a_loss_and_its_unsettled_epochs_are_forgotten() -> None:
    engine = Local(1, "cpu")
    try:
        slot = engine.slot()
        assert slot.ready.result() == Handshake("cpu", str(torch.__version__))
        first = slot.submit(count, 5).result()
        slot.settle()
        with pytest.raises(BrokenProcessPool) as raised:
            slot.submit(die, 3).result()
        assert slot.loss(raised.value) == Loss("a worker process was ended from outside", to_blame=True)
        assert slot.loss(ValueError()) is None
        assert (slot.epochs, slot.settled) == (8, 5)
        engine.lost(slot)
        other = engine.slot()
        assert other.number == slot.number  # of several GPUs it gets the same
        assert other.submit(count, 2).result() != first
        assert other.epochs == 2
    finally:
        engine.end()


def test_workers_are_not_forks_of_this_process() -> None:
    """A fork of a process that has threads may never wake up."""
    assert context().get_start_method() in ("forkserver", "spawn")


@pytest.mark.parametrize(("visible", "expected"), [("0", 1), ("0,2,3", 3), ("", 0), ("-1", 0), ("GPU-8a1b", 1)])
def test_gpus_are_those_that_are_visible(visible: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(local, "version", lambda _: "2.15.0+cu132")
    assert local.gpus() == expected


def test_gpus_are_those_that_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And none for a torch that cannot use them, or where there is no driver."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local, "version", lambda _: "2.15.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert local.gpus() == 0
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'GPU 0: NVIDIA H200 (UUID: GPU-1)'\necho 'GPU 1: NVIDIA H200 (UUID: GPU-2)'\n")
    program.chmod(0o755)
    assert local.gpus() == 2
    monkeypatch.setattr(local, "version", lambda _: "2.15.0+cpu")
    assert local.gpus() == 0


@pytest.mark.parametrize(
    ("device", "jobs", "expected"),
    [("auto", None, 3), ("cuda", None, 3), ("cuda:1", None, 1), ("cuda", 8, 8), ("cpu", 2, 2)],
)
def test_each_gpu_gets_a_process(device: str, jobs: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    monkeypatch.setattr(local, "version", lambda _: "2.15.0+cu132")
    assert Machine(jobs, device).processes == expected
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert Machine(jobs, device).processes == (expected if jobs or device == "cuda:1" else Machine().cores)
