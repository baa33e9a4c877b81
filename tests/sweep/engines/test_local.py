"""The local engine can replace a killed process, and counts only the GPUs that can be used."""

import os
import signal
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.stages.common import Machine
from pipeline.sweep.engines import Handshake, WorkerLostError, local
from pipeline.sweep.engines.local import LocalEngine, context


def process(_: int) -> int:
    return os.getpid()


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_lost_with_the_calls_that_wait_in_it() -> None:
    """All calls to a killed process fail in the same way, because only the pool knows which calls had begun."""
    engine = LocalEngine(1, "cpu")
    try:
        slot = engine.start_slot()
        assert slot.ready.result() == Handshake("cpu", str(torch.__version__))
        first = slot.submit(process, 0).result()
        calls: list[Future[Any]] = [slot.submit(die, 0), slot.submit(process, 0)]
        for call in calls:
            with pytest.raises(WorkerLostError, match="a worker process was killed") as raised:
                call.result()
            assert raised.value.counts_against_work
        with pytest.raises(WorkerLostError) as raised:
            slot.submit(process, 0).result()
        assert not raised.value.counts_against_work
        engine.remove(slot)
        other = engine.start_slot()
        assert other.number == slot.number  # so the new process uses the same GPU
        assert other.submit(process, 0).result() != first
    finally:
        engine.end()


def test_workers_are_not_forks_of_this_process() -> None:
    """A fork of a process that has threads may hang."""
    assert context().get_start_method() in ("forkserver", "spawn")


@pytest.mark.parametrize(("visible", "expected"), [("0", 1), ("0,2,3", 3), ("", 0), ("-1", 0), ("GPU-8a1b", 1)])
def test_gpus_are_those_that_are_visible(visible: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(local, "version", lambda _: "2.15.0+cu132")
    assert local.gpus() == expected


def test_gpus_are_those_that_the_driver_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If there is no driver, or if torch was built for CPUs, GPUs are not counted."""
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
