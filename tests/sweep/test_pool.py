"""The pool of workers replaces a worker that is killed, and other workers' items are not affected."""

import os
import signal
import sys
from multiprocessing import active_children
from pathlib import Path

import pytest

from pipeline.errors import ExternalError, UserError
from pipeline.sweep.engines.local import LocalEngine, LocalSlot
from pipeline.sweep.pool import Workers
from tests.helpers.processes import wait_for
from tests.sweep.sweeping import results


def deadly(number: int) -> int:
    """Return the square of a number; the number 3 kills the worker."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.slow
def test_an_item_that_kills_its_worker_twice_fails_and_the_others_continue() -> None:
    failed: dict[int, str] = {}
    with Workers(2, "cpu") as workers:
        steps = [*workers.work(deadly, range(8), lambda number, reason: failed.update({number: reason}))]
        assert sorted(results(steps)) == [0, 1, 4, 16, 25, 36, 49]
        assert failed == {3: "a worker process was killed"}
        with pytest.raises(ExternalError, match="was killed; too little memory"):
            list(workers.work(deadly, [3]))
    assert not active_children()


@pytest.mark.slow
def test_a_worker_that_is_killed_while_idle_is_replaced() -> None:
    with Workers(2, "cpu") as workers:
        list(workers.work(deadly, [1, 2]))
        for child in active_children():
            child.kill()
            child.join(10)
        assert sorted(results(workers.work(deadly, [1, 2, 4]))) == [1, 4, 16]


def test_a_worker_begins_its_next_item_before_the_caller_asks(tmp_path: Path) -> None:
    """The worker need not wait while the caller writes and logs results between two updates."""
    with Workers(1, "cpu") as workers:
        files = [tmp_path / name for name in "abcd"]
        updates = workers.work(Path.touch, files)
        first = next(update for update in updates if update.item is not None)
        assert first.item == files[0]
        wait_for(files[1].exists)
        list(updates)
    assert all(file.exists() for file in files)


def squared_or_deadly(order: tuple[Path, int]) -> int:
    """Return the square of a number; the first time, the number 0 kills the worker."""
    file, number = order
    if number == 0 and not file.exists():
        file.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2


@pytest.mark.slow
def test_items_queued_in_a_killed_worker_are_not_to_blame(tmp_path: Path) -> None:
    """Queued items are run before the item that was running gets its second attempt."""

    def failed(order: tuple[Path, int], reason: str) -> None:
        pytest.fail(reason)

    with Workers(1, "cpu") as workers:
        orders = [(tmp_path / "killed", number) for number in (1, 0, 2, 3, 4, 5)]
        assert results(workers.work(squared_or_deadly, orders, failed)) == [1, 4, 9, 16, 25, 0]


class Mixed(LocalEngine):
    """An engine whose first worker uses another device than all later workers."""

    def start_slot(self) -> LocalSlot:
        slot = super().start_slot()
        self._device = "meta"
        return slot


def test_workers_of_two_devices_are_not_mixed() -> None:
    told = "this machine has device (meta, other nodes cpu|cpu, other nodes meta): the results would differ"
    with pytest.raises(UserError, match=told), Workers(2, "cpu", Mixed(2, "cpu")) as workers:
        for _ in range(10_000):  # long enough for the second worker to start
            list(workers.work(deadly, [1]))
    assert not active_children()


def short_of_memory(numbers: list[int]) -> int:
    if len(numbers) > 1:
        raise MemoryError("too many at once")
    return numbers[0]


@pytest.mark.slow
def test_an_item_too_large_for_memory_is_split() -> None:
    with Workers(1, "cpu") as workers:
        steps = workers.work(short_of_memory, [[1, 2, 3]], split=lambda numbers: [[number] for number in numbers])
        assert sorted(results(steps)) == [1, 2, 3]


def imported(_: int) -> list[str]:
    return [name for name in ("mlflow", "pandas", "matplotlib", "torchvision", "dvc") if name in sys.modules]


def test_workers_import_nothing_heavy_beyond_torch() -> None:
    with Workers(1, "cpu") as workers:
        assert results(workers.work(imported, [0])) == [[]]
