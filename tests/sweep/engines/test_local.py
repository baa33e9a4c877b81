"""A slot counts what it has trained, and knows what is lost with its process."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest
import torch

from pipeline.sweep import worker
from pipeline.sweep.engines import Handshake, Loss
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
