"""Workers: one that is killed is replaced, and costs nobody else anything."""

import os
import signal
import sys
from multiprocessing import active_children

import pytest

from pipeline.errors import ExternalError, UserError
from pipeline.sweep.engines.local import Local, Slot
from pipeline.sweep.pool import Workers
from tests.sweep.sweeping import results


def deadly(number: int) -> int:
    """The square of a number; 3 kills whoever computes it."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.parametrize("jobs", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_what_kills_its_worker_twice_fails_and_the_rest_goes_on(jobs: int) -> None:
    failed: dict[int, str] = {}
    with Workers(jobs, "cpu") as workers:
        steps = [*workers.work(deadly, range(8), lambda number, reason: failed.update({number: reason}))]
        assert sorted(results(steps)) == [0, 1, 4, 16, 25, 36, 49]
        assert failed == {3: "a worker process was ended from outside"}
        with pytest.raises(ExternalError, match="ended from outside; too little memory"):
            list(workers.work(deadly, [3]))
    assert not active_children()


def test_a_worker_that_is_killed_while_it_waits_is_no_loss() -> None:
    with Workers(2, "cpu") as workers:
        list(workers.work(deadly, [1, 2]))
        for child in active_children():
            child.kill()
            child.join(10)
        assert sorted(results(workers.work(deadly, [1, 2, 4]))) == [1, 4, 16]


class Mixed(Local):
    """Workers of which the first has another device than the others."""

    def slot(self) -> Slot:
        slot = super().slot()
        self._device = "meta"
        return slot


def test_workers_of_two_devices_are_not_mixed() -> None:
    told = "this machine has device (meta, other nodes cpu|cpu, other nodes meta): results would not be alike"
    with pytest.raises(UserError, match=told), Workers(2, "cpu", Mixed(2, "cpu")) as workers:
        for _ in range(10_000):  # until the second has begun
            list(workers.work(deadly, [1]))
    assert not active_children()


def short_of_memory(numbers: list[int]) -> int:
    if len(numbers) > 1:
        raise MemoryError("too many at once")
    return numbers[0]


def test_what_is_too_large_is_tried_again_in_parts() -> None:
    with Workers(1, "cpu") as workers:
        steps = workers.work(short_of_memory, [[1, 2, 3]], split=lambda numbers: [[number] for number in numbers])
        assert sorted(results(steps)) == [1, 2, 3]


def imported(_: int) -> list[str]:
    return [name for name in ("mlflow", "pandas", "matplotlib", "torchvision", "dvc") if name in sys.modules]


def test_workers_import_no_more_than_they_need() -> None:
    with Workers(1, "cpu") as workers:
        assert results(workers.work(imported, [0])) == [[]]
