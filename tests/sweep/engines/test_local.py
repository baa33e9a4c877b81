"""A slot counts what it has trained, forgets what was lost with its process, and can be replaced."""

import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from pipeline.sweep import worker
from pipeline.sweep.engines.local import Slot, SlotLost, context


def count(epochs: int) -> int:
    worker.count(epochs)
    return os.getpid()


def die(epochs: int) -> None:
    worker.count(epochs)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_is_replaced_and_its_unsettled_epochs_are_forgotten() -> None:
    slot = Slot(context(), "cpu", 0)
    try:
        assert slot.ready.result() == "cpu"
        first = slot.submit(count, 5).result()
        slot.settle()
        assert slot.epochs == 5
        with pytest.raises(SlotLost):
            slot.submit(die, 3).result()
        slot.replace()
        assert slot.ready.result() == "cpu"
        assert slot.epochs == 5
        assert slot.submit(count, 2).result() != first
        assert slot.epochs == 7
    finally:
        slot.end()
    assert SlotLost is BrokenProcessPool


def test_workers_are_not_forks_of_this_process() -> None:
    """A fork of a process that has threads may never wake up."""
    assert context().get_start_method() in ("forkserver", "spawn")
